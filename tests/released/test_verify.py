"""What TensorFlow reads and says of the released files, run by an interpreter that has it.

STYLEX_TENSORFLOW names one; .ci/run makes it. TensorFlow is 1.3 GB, and the last release that loads models of Keras 2
excludes the numpy of this environment, so that it is never in it. Other tests use data/export.safetensors.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stylex.artifacts import load_tensors
from stylex.config.paths import released_folder
from stylex.errors import ArtifactError
from stylex.released.convert import EXPORT, Request, convert_released
from stylex.released.download import FILES

DATA = Path(__file__).parent / "data"
TENSORFLOW = os.environ.get("STYLEX_TENSORFLOW", "")
needs_tensorflow = pytest.mark.skipif(not TENSORFLOW, reason="STYLEX_TENSORFLOW names no interpreter with TensorFlow")


@pytest.mark.slow
@needs_tensorflow
def test_committed_export_is_what_tensorflow_reads(project):
    path = released_folder(project) / EXPORT
    path.unlink()
    convert_released(project, "tiny", "cpu", Request(TENSORFLOW))
    (tensors, header), (committed, described) = load_tensors(path), load_tensors(DATA / EXPORT)
    assert header == described and tensors.keys() == committed.keys()
    assert all(torch.equal(tensors[name], committed[name]) for name in committed)


@pytest.mark.slow
@needs_tensorflow
def test_conversion_is_compared_with_models_that_tensorflow_runs(project):
    for name in FILES:
        (released_folder(project) / name).unlink()
    program = Path(__file__).parent / "savedmodels.py"
    subprocess.run([TENSORFLOW, program, released_folder(project), "whole"], check=True, capture_output=True)
    measured, computed = convert_released(project, "tiny", "cpu", Request(TENSORFLOW, verify=True, tolerance=1e-4))
    assert set(computed.largest) == {"styles", "to_rgb_styles", "images", "logits", "discriminator", "encoder"}
    assert max(*measured.largest.values(), *computed.largest.values()) < 1e-4


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.parametrize("kept", [0, 500])
@pytest.mark.parametrize("name", ["variables.index", "variables.data-00000-of-00001"])
def test_damaged_file_is_one_line_and_leaves_no_export(project, name, kept):
    (released_folder(project) / EXPORT).unlink()
    shutil.unpack_archive(DATA / "encoder.savedmodel.zip", released_folder(project) / "encoder")
    path = released_folder(project) / "encoder" / "encoder.savedmodel" / "variables" / name
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ArtifactError, match="if a file is damaged, fetch the model again") as error:
        convert_released(project, "tiny", "cpu", Request(TENSORFLOW))
    assert "\n" not in str(error.value) and not (released_folder(project) / EXPORT).exists()


@pytest.mark.parametrize(
    ("python", "message"),
    [("/nowhere/python", "cannot be run: No such file"), (sys.executable, "No module named 'tensorflow'")],
)
def test_interpreter_without_tensorflow_is_one_line(project, python, message):
    (released_folder(project) / EXPORT).unlink()
    with pytest.raises(ArtifactError, match=f"--tensorflow {python}.*{message}") as error:
        convert_released(project, "tiny", "cpu", Request(python))
    assert "\n" not in str(error.value) and not (project / "results").exists()
