"""docs/performance.md shows what the benchmarks wrote; that for the GPU runs, small, on a CPU."""

import json
import subprocess
import sys
from pathlib import Path

import bench_attfind
import bench_datasets
import bench_reading
import bench_scaling
import bench_training
import pytest
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


def test_the_page_carries_the_tables_of_scaling():
    measured = json.loads((ROOT / "results/benchmarks/scaling.json").read_text())
    assert not measured["machine"]["quick"]
    assert bench_scaling.table(measured) in (ROOT / "docs/performance.md").read_text()


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


def test_the_table_of_reading_is_what_was_measured():
    measured = json.loads((ROOT / "results/benchmarks/reading.json").read_text())
    assert bench_reading.table(measured["images_per_second"]) in (ROOT / "docs/performance.md").read_text()
    assert measured["images_per_second"]["readers-4"] > 400  # what `stylex-256` is to learn a second


@pytest.mark.slow
def test_the_benchmark_for_the_gpu_runs(tmp_path):
    command = [sys.executable, str(ROOT / "tests/benchmarks/bench_gpu.py"), "--device", "cpu", "--smoke"]
    command += ["--output", str(tmp_path / "gpu.json")]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    measured = json.loads((tmp_path / "gpu.json").read_text())
    for preset in ("model1-64", "stylex-256"):
        trained, searched = measured[f"train-{preset}"], measured[f"attfind-{preset}"]
        assert trained["ours"]["images_per_second"] > 0 and trained["textbook"]["images_per_second"] > 0, trained
        assert searched["exhaustive"] > 0 and searched["screened_seconds"] > 0
    assert measured["agreement"] == {"losses_relative": 0.0, "steps": 2, "effects_absolute": 0.0}  # of one device
    assert "| `stylex-256` (" in result.stdout


SCALING = ROOT / "results/benchmarks/scaling.json"


@pytest.mark.skipif(not SCALING.is_file(), reason="make bench-scaling has not been measured")
def test_the_page_carries_the_table_of_scaling():
    measured, page = json.loads(SCALING.read_text()), (ROOT / "docs/performance.md").read_text()
    assert bench_scaling.table(measured) in page and not measured["machine"]["quick"]
    assert all(f"images/scaling-{part}.svg" in page for part in ("attfind", "training"))


def test_exponents_are_those_of_power_laws():
    rows = [
        {"part": "attfind", "sweep": "images", "way": way, "x": x, "value": factor * x**power}
        for way, factor, power in (("exhaustive", 0.1, 1.0), ("screened", 3.0, 0.5))
        for x in (64, 256, 1024)
    ]
    found = bench_scaling.exponents(rows)
    assert found == {
        "attfind, images, exhaustive": pytest.approx(1.0),
        "attfind, images, screened": pytest.approx(0.5),
    }


@pytest.mark.slow
def test_the_benchmark_of_scaling_runs(tmp_path):
    command = [sys.executable, str(ROOT / "tests/benchmarks/bench_scaling.py"), "--quick"]
    command += ["--output", str(tmp_path / "scaling.json"), "--images", str(tmp_path)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    measured = json.loads((tmp_path / "scaling.json").read_text())
    points = {(row["part"], row["sweep"], row["way"], row["x"]): row for row in measured["points"]}
    assert {(part, sweep) for part, sweep, _, _ in points} == {
        *(("attfind", sweep) for sweep in ("images", "coordinates", "resolution", "processes")),
        *(("training", sweep) for sweep in ("resolution", "batch", "width")),
    }
    assert all(0 < row["lowest"] <= row["value"] <= row["highest"] for row in points.values())
    moves = 2 * 58 * 16  # of 16 images, K = 58
    for processes in (1, 2):  # shards leave nothing out
        assert points["attfind", "processes", "exhaustive", processes]["evaluations"] == moves
    screened = points["attfind", "images", "screened", 16]
    assert 0 < screened["evaluations"] <= moves and screened["coordinates"] == 58
    assert {row["processes"] for row in points.values() if row["part"] == "training"} == {1, 2}
    assert set(measured["exponents"]) == {", ".join(key[:3]) for key in points}
    assert measured["machine"]["quick"] and "--quick" in measured["machine"]["command"]
    assert bench_scaling.table(measured) in result.stdout
    for part in ("attfind", "training"):
        assert (tmp_path / f"scaling-{part}.svg").read_text().rstrip().endswith("</svg>")
