"""docs/performance.md shows what `make bench-train` wrote."""

import json
from pathlib import Path

from bench_training import CASES, table

ROOT = Path(__file__).parents[2]


def test_the_page_carries_the_measured_table():
    measured = json.loads((ROOT / "results/benchmarks/training.json").read_text())
    results = {preset: measured[preset] for preset in CASES}
    assert table(results) in (ROOT / "docs/performance.md").read_text()
