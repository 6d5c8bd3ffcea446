"""docs/performance.md shows what `make bench-train`, `make bench-attfind` and `make bench-datasets` wrote."""

import json
from pathlib import Path

import bench_attfind
import bench_datasets
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


def test_the_page_carries_the_table_of_datasets():
    measured = json.loads((ROOT / "results/benchmarks/datasets.json").read_text())
    results = {case: measured[case] for case in ("fashion_mnist", "jpeg")}
    assert bench_datasets.table(results) in (ROOT / "docs/performance.md").read_text()
