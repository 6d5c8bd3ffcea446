"""`make bench-train`: our training step against the textbook one of plain.py, in turn, medians of five rounds.

A round is one period of lazy regularisation (16 steps: R1 once, path lengths at every fourth where the preset has
them, encoder and noise steps in turn). Each side is processes of its own that wait while the other one works, so that
peak memory is its own too: at 32x32 one training a core, side by side, as the workflow's rules run it; at 64x64 one
training on all cores. Real digits; classifier and backbone have random weights, which cost the same as trained
ones. `quality-32` (quality.py) is no step but whole trainings. Writes results/benchmarks/training.json and prints the
tables of docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import paper_training
import quality
import torch
import yaml
from plain import plain_state, plain_step
from waiting import Waiting

from stylex.allocator import keep_freed_memory
from stylex.artifacts import provenance, read_json, write_json
from stylex.classifiers import Classifier, FeatureBackbone
from stylex.classifiers.frozen import NetworkDescription, Role
from stylex.config import load_experiment
from stylex.datasets import ImageSplit, download, load_split, prepare
from stylex.training.distributed import Processes
from stylex.training.sampler import BatchSampler, FrozenNetworks, draw
from stylex.training.state import initial_state, training_dtype
from stylex.training.step import advance

ROOT = Path(__file__).parents[2]
STEPS = 16  # a round
ROUNDS = 5
SEED = 0
SIDES = ("ours", "plain")


class Case(NamedTuple):
    """Widths of classifier and backbone, and whether the cores are shared by trainings of one thread each."""

    classifier: float
    backbone: float
    side_by_side: bool


# model1-64 explains the ResNet-18 of [V], at its full width.
QUALITY = "quality-32"
CASES = {"cpu-32": Case(0.125, 0.125, True), "model1-64": Case(1.0, 0.25, False)}


# The textbook knows the papers' steps alone.
STEPS_OF_PAPERS = {"cpu-32": paper_training.OPTIONS}


def make_project(folder: Path) -> None:
    """Write a project with real digits at the resolution of each preset, and the experiments."""
    shutil.copytree(ROOT / "config", folder / "config")
    download(folder, "mnist")
    for preset in CASES:
        prepare(folder, "mnist", resolution_of(preset))
    write_experiments(folder)


def resolution_of(preset: str) -> int:
    """Return the resolution with which a preset's name ends."""
    return int(preset.rpartition("-")[2])


def write_experiments(folder: Path) -> None:
    """Write the experiments that are timed, and their backbones."""
    for preset in CASES:
        resolution = resolution_of(preset)
        backbone = {"extends": "backbone-32", "dataset": "mnist", "resolution": resolution}
        (folder / f"config/backbones/bench-{preset}.yaml").write_text(yaml.safe_dump(backbone))
        experiment = {
            "extends": preset,
            "title": preset,
            "domain": "MNIST 3 / 5",
            "dataset": {"name": "mnist", "classes": ["3", "5"]},
            "stylex": {"perceptual_backbone": f"bench-{preset}", **STEPS_OF_PAPERS.get(preset, {})},
        }
        (folder / f"config/experiments/bench-{preset}.yaml").write_text(yaml.safe_dump(experiment))


def make_step(folder: Path, preset: str, side: str, device: str) -> Callable[[], object]:
    """Return one side's step; all that it does, drawing and loading included, is inside."""
    experiment = load_experiment(folder, f"bench-{preset}")
    config, split = experiment.stylex, load_split(folder, experiment.dataset, "train")
    case, sizes = CASES[preset], (split.resolution, split.channels, len(split.class_names))
    classifier = random_network(Classifier, "classifier", case.classifier, split).to(device)
    backbone = random_network(FeatureBackbone, "backbone", case.backbone, split).to(device)
    frozen = FrozenNetworks(classifier, backbone, training_dtype(config.training, device))
    if side == "ours":
        keep_freed_memory()
        state, processes = initial_state(config, *sizes, SEED, device), Processes()
        sampler = BatchSampler(split, frozen, config, processes, device)
        return lambda: advance(state, config, frozen, sampler, processes)
    plain, size = plain_state(config, *sizes, SEED, device), config.training.batch_size

    def step() -> None:
        index = torch.randint(len(split), (size,))
        random = draw(plain.networks, size, plain.random)
        measures_paths = config.losses.path_length and plain.step % config.losses.path_length_interval == 0
        paths = draw(plain.networks, size, plain.random, direction=True) if measures_paths else random
        plain_step(plain, config, frozen, split.images(index).to(device), random, paths)

    return step


def random_network(kind: type, role: Role, width: float, split: ImageSplit) -> Any:
    """Return a frozen network with random weights."""
    torch.manual_seed(SEED)
    description = NetworkDescription(
        role=role, name=role, architecture="resnet18", width=width, channels=split.channels,
        resolution=split.resolution, class_names=split.class_names,
    )  # fmt: skip
    return kind(description.build(), description)


def serve(arguments: argparse.Namespace) -> None:
    """Be one side: answer each line on stdin with the seconds a step over one round, and its end with the peak."""
    torch.set_num_threads(arguments.threads)
    step = make_step(arguments.project, arguments.preset, arguments.side, arguments.device)
    for _ in range(2):  # an encoder step and a noise step, to warm up
        step()
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(STEPS):
            step()
        if arguments.device == "cuda":
            torch.cuda.synchronize()
        print((time.perf_counter() - start) / STEPS, flush=True)
    resident = peak_resident()
    print(torch.cuda.max_memory_allocated() / 2**20 if arguments.device == "cuda" else resident)


def peak_resident() -> float:
    """Return the largest resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(folder: Path, preset: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Time both sides of a preset in turn; seconds are a step's of one training."""
    copies, threads = (arguments.threads, 1) if CASES[preset].side_by_side else (1, arguments.threads)
    common = [sys.executable, __file__, "--threads", str(threads), "--device", arguments.device]
    workers, times = {}, {side: [] for side in SIDES}
    for side in SIDES:
        command = [*common, "--project", str(folder), "--preset", preset, "--side", side]
        workers[side] = [Waiting(command) for _ in range(copies)]
    for round_ in range(1, arguments.rounds + 1):
        for side, trainings in workers.items():
            for training in trainings:
                training.ask()
            times[side].append(statistics.mean([float(training.answer()) for training in trainings]))
            print(f"{preset}, round {round_}, {side}: {times[side][-1] * 1000:.0f} ms a step", file=sys.stderr)
    peaks = {side: max(float(one.end()) for one in trainings) for side, trainings in workers.items()}
    ours, plain = (statistics.median(times[side]) for side in SIDES)
    ratios = [slow / fast for fast, slow in zip(times["ours"], times["plain"], strict=True)]
    batch = load_experiment(folder, f"bench-{preset}").stylex.training.batch_size
    return {
        "rounds": arguments.rounds, "trainings": copies, "threads": threads, "ours": ours, "plain": plain,
        "ratio": plain / ours, "ratio_min": min(ratios), "ratio_max": max(ratios),
        "images_per_second": copies * batch / ours, "peak_mib": peaks["ours"], "plain_peak_mib": peaks["plain"],
    }  # fmt: skip


def table(results: dict[str, dict[str, float]]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| preset | trainings x threads | rounds | ours, a step | textbook, a step | ratio (single rounds)"
        " | ours, images/s | peak memory, ours | textbook |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for preset, row in results.items():
        lines.append(
            f"| `{preset}` | {row['trainings']} x {row['threads']} | {row['rounds']}"
            f" | {row['ours'] * 1000:.0f} ms | {row['plain'] * 1000:.0f} ms"
            f" | **{row['ratio']:.2f}** ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})"
            f" | {row['images_per_second']:.1f} | {row['peak_mib']:.0f} MiB | {row['plain_peak_mib']:.0f} MiB |"
        )
    return "\n".join(lines)


def processor() -> str:
    """Return the CPU's name, as far as the system says it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    """Run the cases asked for; with --side, be one side of one case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--preset", choices=(*CASES, QUALITY), help="default: all")
    parser.add_argument("--output", type=Path, default=ROOT / "results/benchmarks/training.json")
    parser.add_argument("--project", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        return serve(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "project"
        make_project(folder)
        presets = [arguments.preset] if arguments.preset else [*CASES, QUALITY]
        results = {preset: measure(folder, preset, arguments) for preset in presets if preset != QUALITY}
        if QUALITY in presets:
            torch.set_num_threads(1)  # as the workflow's rules
            results[QUALITY] = quality.seconds_to_quality(folder)
    if arguments.preset and arguments.output.is_file():  # the other cases stay as they were measured
        known = read_json(arguments.output)
        results = {each: results.get(each) or known[each] for each in (*CASES, QUALITY) if each in known | results}
    settings = {"cores": arguments.threads, "steps_a_round": STEPS}
    origin = provenance("tests/benchmarks/bench_training.py", SEED, arguments.device)
    write_json(arguments.output, {**results, "machine": {"processor": processor(), **settings, **origin}})
    print(table({preset: row for preset, row in results.items() if preset in CASES}))
    if QUALITY in results:
        print(quality.table(results[QUALITY]))


if __name__ == "__main__":
    main()
