"""What importing costs: torch and matplotlib only inside verbs, slow libraries only where they are needed.

import-linter sees imports inside functions, too, and so cannot tell.
"""

import subprocess
import sys

import pytest

HEAVY = {"torch", "matplotlib"}
SLOW = {"torchvision", "torch._dynamo", "scipy.stats", "scipy.optimize", "lpips", "pytorch_fid", "timm"}
LIGHT = (
    "stylex.artifacts", "stylex.cli", "stylex.config", "stylex.errors", "stylex.figures.catalog", "stylex.pretrained",
    "stylex.project", "stylex.slurm",
)  # fmt: skip


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        (LIGHT, HEAVY),
        (["stylex.cli"], {"pydantic", "pandas", "yaml"}),
        (["stylex.attfind.effects"], SLOW),
        (["stylex.evaluation.quality", "stylex.evaluation.sufficiency"], SLOW),
        (["stylex.figures", "stylex.latents.encode"], SLOW),
        (["stylex.training"], SLOW),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(modules, absent):
    script = f"import sys, {', '.join(modules)}; print({absent} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
