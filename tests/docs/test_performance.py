"""docs/performance.md shows what `make bench-train`, `make bench-attfind` and `make bench-datasets` wrote."""

import json
from pathlib import Path

import bench_attfind
import bench_datasets
import bench_training
import quality
from bench_training import CASES, table

from stylex.config import load_experiment

ROOT = Path(__file__).parents[2]


def test_the_page_carries_the_measured_table():
    measured = json.loads((ROOT / "results/benchmarks/training.json").read_text())
    results = {preset: measured[preset] for preset in CASES}
    page = (ROOT / "docs/performance.md").read_text()
    assert table(results) in page
    row = measured["quality-32"]
    assert quality.table(row) in page
    assert f"here {row['ratio']:.1f}" in page and row["ratio"] >= 3
    assert row["after_passes"] and not row["before_passes"]


def test_what_is_trained_is_what_the_page_says(root):
    bench_training.write_experiments(root)
    quality.write_experiments(root)
    before, after = (load_experiment(root, name).stylex for name in ("before", "after"))
    assert after == load_experiment(root, "mnist").stylex
    assert before.networks.generator_channels == [16] * 4 and before.training.images == 48000
    assert before.training.learning_rate == 0.002 and not before.training.decay
    for preset in CASES:
        assert load_experiment(root, f"bench-{preset}").dataset.resolution == bench_training.resolution_of(preset)


def test_quality_needs_every_criterion():
    good = {"flipped": 0.9, "agreed": 0.85, "distance": 4.0, "own_nearest": 0.8, "class_kept": 0.97}
    assert quality.passes(good)
    for name, value in good.items():
        assert not quality.passes(good | {name: value + (0.01 if name == "distance" else -0.01)})
    assert not quality.passes(good | {"distance": None})
    sides = {"before": 300.4, "before_passes": False, "before_measured": good | {"distance": None}}
    sides |= {"after": 100.0, "after_passes": True, "after_measured": good}
    last = quality.table(sides).splitlines()[-2:]
    assert last == [
        "| before | 300 | 90 % | 85 % | – | 80 % | 97 % | no |",
        "| after | 100 | 90 % | 85 % | 4.0 | 80 % | 97 % | yes |",
    ]


def test_the_page_carries_the_table_of_attfind():
    measured = json.loads((ROOT / "results/benchmarks/attfind.json").read_text())
    cases = ("exhaustive-fp32", "exhaustive-bf16", "screened")
    assert bench_attfind.table({case: measured[case] for case in cases}) in (ROOT / "docs/performance.md").read_text()


def test_the_page_carries_the_table_of_datasets():
    measured = json.loads((ROOT / "results/benchmarks/datasets.json").read_text())
    results = {case: measured[case] for case in ("fashion_mnist", "jpeg")}
    assert bench_datasets.table(results) in (ROOT / "docs/performance.md").read_text()
