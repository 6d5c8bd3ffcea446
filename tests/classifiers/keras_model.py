"""Run by an interpreter with TensorFlow and tf2onnx: train a small tf.keras classifier on PNG files, write it as ONNX.

keras_model.py FOLDER OUTPUT writes OUTPUT/keras.onnx, and keras.npz: the files, and Keras's own probabilities of them.
"""

import sys
from pathlib import Path

import numpy
import tensorflow as tf
import tf2onnx

folder, output = map(Path, sys.argv[1:])
tf.keras.utils.set_random_seed(0)
files = sorted(folder.rglob("*.png"))
names = sorted({path.parent.name for path in files})
images = numpy.stack([tf.io.decode_png(path.read_bytes()).numpy() for path in files]).astype("float32")
labels = numpy.array([names.index(path.parent.name) for path in files])
layers = tf.keras.layers
model = tf.keras.Sequential(
    [
        layers.Input((32, 32, 3)),
        layers.Rescaling(1 / 127.5, offset=-1),
        layers.Conv2D(8, 3, strides=2, activation="relu"),
        layers.BatchNormalization(),
        layers.DepthwiseConv2D(3, padding="same", activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dropout(0.1),
        layers.Dense(len(names), activation="softmax"),
    ]
)
model.compile(tf.keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
model.fit(images, labels, batch_size=16, epochs=12, verbose=0)
tf2onnx.convert.from_keras(model, opset=17, output_path=str(output / "keras.onnx"))
probabilities = model.predict(images, verbose=0)
numpy.savez(output / "keras.npz", files=[str(path) for path in files], probabilities=probabilities)
