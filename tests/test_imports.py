"""What every verb would wait for is imported only by those that need it."""

import subprocess
import sys

import pytest

SLOW = ("torchvision", "torch._dynamo", "scipy.stats", "scipy.optimize", "lpips", "pytorch_fid", "timm")


MODULES = ("attfind.effects", "evaluation.quality", "evaluation.sufficiency", "figures", "latents.encode", "training")


@pytest.mark.parametrize("module", MODULES)
def test_nothing_slow_is_imported_before_it_is_needed(module):
    script = f"import sys, stylex.{module}; print(*[name for name in {SLOW} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
