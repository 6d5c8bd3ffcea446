"""`make bench-datasets`: what preparing a dataset costs; medians of five rounds, each in processes of its own.

`fashion_mnist`: all 70,000 images at 32x32, to be done within 60 s and 500 MB. `jpeg`: 20,000 drawn leaves in JPEG
files of 288x288, prepared at 256x256 by two processes, in turn with what Pillow alone does in two: it decodes,
converts, resizes and throws the pixels away. The share of its speed that is reached is to be 0.70 at least. Ours
counts from the start of `python -m stylex prepare` to its end, the synchronised files and their checksums included;
Pillow counts from the first image. Peak memory is the proportional share (PSS) of all processes, sampled in a round
apart, as the sampling takes time from them. Writes results/benchmarks/datasets.json and prints a table.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import yaml
from bench_training import ROOT, processor
from PIL import Image

from stylex.artifacts import provenance, write_json
from stylex.datasets import download, leaves

IMAGES = 20_000
SIDE = 256  # pixels, of the prepared images
FILE_SIDE = 288  # pixels, of the JPEG files
PROCESSES = 2
ROUNDS = 5
SEED = 0
INTERVAL = 0.02  # seconds between two samples of memory


def draw(folder: Path, numbers: Sequence[int]) -> None:
    """Write leaves as JPEG files into the folders of their classes."""
    factors = leaves.sample_factors(max(numbers) + 1, SEED)
    labels = leaves.labels_of(factors)
    for number in numbers:
        values = dict(zip(leaves.FACTORS, factors[number].tolist(), strict=True))
        path = folder / leaves.CLASSES[labels[number]] / f"{number:05d}.jpg"
        leaves.draw_leaf(values, FILE_SIDE).save(path, quality=90)


def decode(paths: Sequence[Path]) -> None:
    """Do what Pillow must do for prepared images, and nothing else."""
    for path in paths:
        with Image.open(path) as file:
            image = file.convert("RGB")
        image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def pillow_alone(folder: Path) -> float:
    """Return the seconds in which two processes decode all files of `folder`."""
    paths = sorted(folder.rglob("*.jpg"))
    with ProcessPoolExecutor(PROCESSES) as pool:
        list(pool.map(len, [()] * PROCESSES))  # the processes are there
        start = time.perf_counter()
        list(pool.map(decode, [paths[part::PROCESSES] for part in range(PROCESSES)]))
        return time.perf_counter() - start


def prepared(project: Path, name: str, resolution: int) -> float:
    """Prepare a dataset anew and return the seconds it took."""
    process, start = start_preparing(project, name, resolution), time.perf_counter()
    assert process.wait() == 0
    return time.perf_counter() - start


def peak_memory(project: Path, name: str, resolution: int) -> float:
    """Prepare a dataset anew and return the peak memory of all its processes in MiB."""
    process, peak = start_preparing(project, name, resolution), 0.0
    while process.poll() is None:
        peak = max(peak, memory(process.pid))
        time.sleep(INTERVAL)
    assert process.returncode == 0
    return peak


def start_preparing(project: Path, name: str, resolution: int) -> subprocess.Popen[bytes]:
    """Start the preparation of a dataset from its raw files."""
    shutil.rmtree(project / "data/processed" / name, ignore_errors=True)
    command = [sys.executable, "-m", "stylex", "prepare", name, "--resolution", str(resolution)]
    command += ["--processes", str(PROCESSES)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.DEVNULL)


def memory(process: int) -> float:
    """Return the proportional memory of a process and all that descend from it, MiB."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return 0.0
    own = next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)
    return own + sum(memory(int(child)) for child in children)


def make_jpegs(project: Path, images: int) -> None:
    """Draw the JPEG files, and describe them as a dataset of the project."""
    folder = project / "jpeg"
    for label in leaves.CLASSES:
        (folder / label).mkdir(parents=True)
    with ProcessPoolExecutor() as pool:
        parts = len(os.sched_getaffinity(0))
        list(pool.map(draw, [folder] * parts, [range(part, images, parts) for part in range(parts)]))
    content = {"title": "Leaves", "layout": "folders", "licence": "MIT", "folder": "jpeg"}
    (project / "config/datasets/jpeg.yaml").write_text(yaml.safe_dump(content))
    download(project, "jpeg")


def fashion_mnist(project: Path, rounds: int) -> dict[str, float]:
    """Measure the preparation of all Fashion-MNIST."""
    if (files := ROOT / "data/raw/fashion_mnist").is_dir():
        shutil.copytree(files, project / "data/raw/fashion_mnist")
    download(project, "fashion_mnist")
    ours = statistics.median(prepared(project, "fashion_mnist", 32) for _ in range(rounds))
    peak = peak_memory(project, "fashion_mnist", 32)
    return {"images": 70_000, "ours": ours, "images_per_second": 70_000 / ours, "peak_mib": peak}


def jpegs(project: Path, images: int, rounds: int) -> dict[str, float]:
    """Measure the preparation of JPEG files against Pillow alone, in turn."""
    make_jpegs(project, images)
    ours, plain = [], []
    for number in range(rounds):
        ours.append(prepared(project, "jpeg", SIDE))
        plain.append(pillow_alone(project / "jpeg"))
        print(f"jpeg, round {number + 1}: ours {ours[-1]:.1f} s, Pillow {plain[-1]:.1f} s", file=sys.stderr)
    shares = [fast / slow for slow, fast in zip(ours, plain, strict=True)]
    middle, peak = statistics.median(ours), peak_memory(project, "jpeg", SIDE)
    return {
        "images": images, "ours": middle, "images_per_second": images / middle, "peak_mib": peak,
        "plain": statistics.median(plain), "ratio": statistics.median(plain) / middle,
        "ratio_min": min(shares), "ratio_max": max(shares),
    }  # fmt: skip


def table(results: dict[str, dict[str, float]]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| case | images | ours | images/s | peak memory | Pillow alone | share of its speed (single rounds) |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for case, row in results.items():
        share = f"**{row['ratio']:.2f}** ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})" if "ratio" in row else "–"
        plain = f"{row['plain']:.1f} s" if "plain" in row else "–"
        lines.append(
            f"| `{case}` | {row['images']:,} | {row['ours']:.1f} s | {row['images_per_second']:.0f}"
            f" | {row['peak_mib']:.0f} MiB | {plain} | {share} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--images", type=int, default=IMAGES, help="JPEG files.")
    parser.add_argument("--output", type=Path, default=ROOT / "results/benchmarks/datasets.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        project = Path(temporary) / "project"
        shutil.copytree(ROOT / "config", project / "config")
        results = {"fashion_mnist": fashion_mnist(project, arguments.rounds)}
        results["jpeg"] = jpegs(project, arguments.images, arguments.rounds)
    settings = {"processor": processor(), "processes": PROCESSES, "rounds": arguments.rounds}
    origin = provenance("tests/benchmarks/bench_datasets.py", SEED)
    write_json(arguments.output, {**results, "machine": {**settings, **origin}})
    print(table(results))


if __name__ == "__main__":
    main()
