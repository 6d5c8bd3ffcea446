"""A real tf.keras model, exported to ONNX as docs/classifiers.md says, answers as it does in Keras.

It takes an interpreter with TensorFlow 2.15 and tf2onnx, which STYLEX_TENSORFLOW names; .ci/run makes it.
"""

import os
import subprocess
from pathlib import Path

import numpy
import own_classifiers as own
import pytest
import torch

from stylex.classifiers.checks import check_classifier, failures
from stylex.classifiers.imported import read_imported
from stylex.config import ImportedClassifierConfig
from stylex.quantization import from_uint8

TENSORFLOW = os.environ.get("STYLEX_TENSORFLOW", "")


@pytest.mark.skipif(not TENSORFLOW, reason="STYLEX_TENSORFLOW names no interpreter with TensorFlow")
def test_a_keras_model_answers_as_in_keras(tmp_path):
    own.write_pngs(tmp_path / "pngs", 120)
    script = Path(__file__).with_name("keras_model.py")
    subprocess.run([TENSORFLOW, script, tmp_path / "pngs", tmp_path], check=True, capture_output=True, timeout=300)
    says = numpy.load(tmp_path / "keras.npz")
    paths, probabilities = [Path(path) for path in says["files"]], torch.from_numpy(says["probabilities"])
    images, names = from_uint8(own.read_bytes(paths)), sorted(own.CLASSES)
    labels = torch.tensor([names.index(path.parent.name) for path in paths])
    assert (probabilities.argmax(dim=1) == labels).double().mean() > 0.9
    declared = {"file": "keras.onnx", "classes": names, "output": "probabilities", "inputs": {"range": "0..255"}}
    config = ImportedClassifierConfig.model_validate(declared)
    classifier, _, resolved = read_imported(config, tmp_path, names, 3, own.SIDE)
    assert resolved.declaration.layout == "nhwc"  # as the file says
    with torch.no_grad():
        found = classifier(images).softmax(dim=1)
    torch.testing.assert_close(found, probabilities, rtol=0, atol=1e-5)
    assert failures(check_classifier(config, tmp_path, images, labels, names)) == ""
