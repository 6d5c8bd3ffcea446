"""Read the released files with TensorFlow, and run the released models: the only file here that knows TensorFlow.

It runs in an environment of its own (docs/released-model.md) and imports nothing of stylex:

    python tensorflow_export.py export FOLDER export.safetensors SOURCES    variables and effects, as they are stored
    python tensorflow_export.py run FOLDER w_plus.npy answer.npz            what the models say, run as in [N]

FOLDER has the unpacked SavedModels, FOLDER/<model>/<model>.savedmodel, and examples_1.tfrecord.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np

MODELS = ("generator", "encoder", "discriminator", "mobilenet")
EFFECTS = "examples_1.tfrecord"


def export(folder: str, output: str, sources: str) -> None:
    """Write each variable as <model>:<name>, the effects as effects:<name>; in the header the order of the variables.

    The header also has `sources`, and counts the operations of MobileNet's graph, which alone tells its activation.
    """
    from safetensors.numpy import save_file

    tensors, header = {}, {"sources": sources}
    for model in MODELS:
        values, trainable = _variables(Path(folder, model, f"{model}.savedmodel"))
        tensors |= {f"{model}:{name}": value for name, value in values.items()}
        header[f"{model}:trainable"] = json.dumps(trainable)
    header["mobilenet:operations"] = json.dumps(_operations(Path(folder, "mobilenet", "mobilenet.savedmodel")))
    tensors |= {f"effects:{name}": value for name, value in _effects(Path(folder, EFFECTS)).items()}
    save_file({name: np.asarray(value, order="C") for name, value in tensors.items()}, output, header)


def _variables(folder: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the variables of a SavedModel by name, and the names of the trainable ones in the order of the model."""
    import tensorflow as tf  # pyright: ignore[reportMissingImports, reportMissingModuleSource]
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph  # pyright: ignore

    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    nodes = TrackableObjectGraph.FromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")).nodes
    stored = {
        index: (attribute.full_name, attribute.checkpoint_key)
        for index, node in enumerate(nodes)
        for attribute in node.attributes
        if attribute.name == "VARIABLE_VALUE" and reader.has_tensor(attribute.checkpoint_key)
    }
    values = {name: np.asarray(reader.get_tensor(key)) for name, key in stored.values()}
    if len(values) < len(stored) or "" in values:
        raise SystemExit(f"{folder}: its variables have no names of their own")
    root = {child.local_name: child.node_id for child in nodes[0].children}
    listed = {child.local_name: child.node_id for child in nodes[root["trainable_variables"]].children}
    return values, [stored[listed[key]][0] for key in sorted(filter(str.isdigit, listed), key=int)]


def _operations(folder: Path) -> dict[str, int]:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel  # pyright: ignore

    graphs = [each.graph_def for each in SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs]
    nodes = [node for graph in graphs for node in graph.node]
    nodes += [node for graph in graphs for function in graph.library.function for node in function.node_def]
    return Counter(node.op for node in nodes)


def _effects(path: Path) -> dict[str, np.ndarray]:
    """Return the lists of floats of all records, one row per image."""
    import tensorflow as tf  # pyright: ignore[reportMissingImports, reportMissingModuleSource]

    records = [tf.train.Example.FromString(record) for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]
    return {
        name: np.array([record.features.feature[name].float_list.value for record in records], np.float32)
        for name in ("dlatent", "base_prob", "result")
    }


def run(folder: str, given: str, answer: str) -> None:
    """Write what the models say of w_plus [N, w + classes]: styles, images in [-1, 1], logits, D of each, E."""
    import tensorflow as tf  # pyright: ignore[reportMissingImports, reportMissingModuleSource]

    paths = [f"{folder}/{model}/{model}.savedmodel" for model in MODELS]
    g, e, d, classifier = (tf.keras.models.load_model(path, compile=False) for path in paths)
    w_plus = np.load(given)
    styles = g.style_vector_calculator(tf.constant(w_plus), training=False)
    images = tf.clip_by_value(g.g_synthesis(styles, training=False), -1, 1)
    logits = classifier(tf.transpose(images, (0, 2, 3, 1)), training=False)
    probabilities = w_plus[:, -logits.shape[-1] :]
    if (probabilities < 0).any():  # logits are joined to w
        probabilities = tf.nn.softmax(probabilities).numpy()
    scores = [d([images[i : i + 1], probabilities[i : i + 1]], training=False) for i in range(len(w_plus))]
    found = {
        "styles": tf.concat(styles[0], axis=1),
        "to_rgb_styles": tf.concat(styles[1], axis=1),
        "images": images,
        "logits": logits,
        "discriminator": tf.concat([tf.reshape(score, (1,)) for score in scores], axis=0),
        "encoder": e(images, training=False),
    }
    arrays = {name: np.asarray(value) for name, value in found.items()}
    np.savez(answer, **arrays)  # pyright: ignore[reportArgumentType], no array is called allow_pickle


if __name__ == "__main__":
    {"export": export, "run": run}[sys.argv[1]](*sys.argv[2:])
