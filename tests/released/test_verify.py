"""`--verify`: the SavedModels themselves, run by an interpreter that has TensorFlow.

STYLEX_TENSORFLOW names one; .ci/run makes it. TensorFlow is 1.3 GB, and the last release that loads models of Keras 2
excludes the numpy of this environment, so that it is never in it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stylex.config.paths import released_folder
from stylex.errors import ArtifactError
from stylex.released.convert import Request, convert_released
from stylex.released.files import FILES

TENSORFLOW = os.environ.get("STYLEX_TENSORFLOW")


@pytest.mark.slow
@pytest.mark.skipif(not TENSORFLOW, reason="STYLEX_TENSORFLOW names no interpreter that has TensorFlow 2.15")
def test_conversion_is_compared_with_models_that_tensorflow_runs(project):
    assert TENSORFLOW
    for name in FILES:
        (released_folder(project) / name).unlink()
    program = Path(__file__).parent / "savedmodels.py"
    subprocess.run([TENSORFLOW, program, released_folder(project), "whole"], check=True, capture_output=True)
    measured, computed = convert_released(project, "tiny", "cpu", Request(tolerance=1e-4, tensorflow=TENSORFLOW))
    assert set(computed.largest) == {"styles", "to_rgb_styles", "images", "logits", "discriminator", "encoder"}
    assert max(*measured.largest.values(), *computed.largest.values()) < 1e-4


@pytest.mark.parametrize(
    ("python", "message"),
    [("/nowhere/python", "cannot be run: No such file"), (sys.executable, "No module named 'tensorflow'")],
)
def test_interpreter_without_tensorflow_is_one_line(project, python, message):
    with pytest.raises(ArtifactError, match=f"--verify {python}.*{message}") as error:
        convert_released(project, "tiny", "cpu", Request(tensorflow=python))
    assert "\n" not in str(error.value) and not (project / "results").exists()
