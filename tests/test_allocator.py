import platform
import resource
import subprocess
import sys

import pytest

from stylex.allocator import keep_freed_memory

PROGRAM = """
import resource, sys
import numpy
from stylex.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def step():
    blocks = [numpy.ones(1 << 20) for _ in range(8)]  # 8 MiB each, freed together
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator can be asked")
def test_freed_blocks_are_reused_without_page_faults():
    faults = {
        how: int(
            subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True).stdout
        )
        for how in ("kept", "as usual")
    }
    pages = (8 << 20) // resource.getpagesize()
    assert faults["kept"] < pages < faults["as usual"]


def test_elsewhere_it_says_that_it_cannot(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
