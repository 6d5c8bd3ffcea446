"""Run the SavedModels themselves, as the notebook [N] does: the only file here that knows TensorFlow.

`python reference.py GENERATOR ENCODER DISCRIMINATOR MOBILENET w_plus.npy answer.npz`, with an interpreter that has
TensorFlow up to 2.15 (later ones load no models of Keras 2) and numpy; it imports nothing of stylex.
"""

import sys

import numpy as np


def main(generator: str, encoder: str, discriminator: str, mobilenet: str, given: str, answer: str) -> None:
    """Write what the models say of w_plus [N, w + classes]: styles, images in [-1, 1], logits, D of each, E."""
    import tensorflow as tf  # pyright: ignore[reportMissingImports, reportMissingModuleSource]

    paths = generator, encoder, discriminator, mobilenet
    g, e, d, classifier = (tf.keras.models.load_model(path, compile=False) for path in paths)
    w_plus = np.load(given)
    styles = g.style_vector_calculator(tf.constant(w_plus), training=False)
    images = tf.clip_by_value(g.g_synthesis(styles, training=False), -1, 1)
    logits = classifier(tf.transpose(images, (0, 2, 3, 1)), training=False)
    probabilities = w_plus[:, -logits.shape[-1] :]
    if (probabilities < 0).any():  # logits are joined to w
        probabilities = tf.nn.softmax(probabilities).numpy()
    scores = [d([images[i : i + 1], probabilities[i : i + 1]], training=False) for i in range(len(w_plus))]
    said = {
        "styles": tf.concat(styles[0], axis=1),
        "to_rgb_styles": tf.concat(styles[1], axis=1),
        "images": images,
        "logits": logits,
        "discriminator": tf.concat([tf.reshape(score, (1,)) for score in scores], axis=0),
        "encoder": e(images, training=False),
    }
    arrays = {name: np.asarray(value) for name, value in said.items()}
    np.savez(answer, **arrays)  # pyright: ignore[reportArgumentType], no array is called allow_pickle


if __name__ == "__main__":
    main(*sys.argv[1:])
