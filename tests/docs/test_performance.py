"""docs/performance.md shows what `make bench-train` and `make bench-attfind` wrote."""

import json
from pathlib import Path

import bench_attfind
from bench_training import CASES, table

ROOT = Path(__file__).parents[2]


def test_the_page_carries_the_measured_table():
    measured = json.loads((ROOT / "results/benchmarks/training.json").read_text())
    results = {preset: measured[preset] for preset in CASES}
    assert table(results) in (ROOT / "docs/performance.md").read_text()


def test_the_page_carries_the_table_of_attfind():
    measured = json.loads((ROOT / "results/benchmarks/attfind.json").read_text())
    cases = ("exhaustive-fp32", "exhaustive-bf16", "screened")
    assert bench_attfind.table({case: measured[case] for case in cases}) in (ROOT / "docs/performance.md").read_text()
