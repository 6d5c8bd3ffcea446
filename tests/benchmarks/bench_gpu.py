"""`make bench-gpu`: on one GPU, a training step of `model1-64` and `stylex-256`, AttFind at both sizes, and agreement.

- train-*: images a second of our step and of the textbook's (plain.py), in turn, medians of rounds of 16 steps; peak
  memory; the share of the GPU's matrix peak, which is measured here, too; the same with torch.compile, and with CUDA
  graphs. Images, and the weights of all networks, are random: they cost the same as real ones.
- attfind-*: the exhaustive engine on all moves of some images, the loop of the replications on a few of them, and a
  screened search against the loop on all of its moves.
- agreement: the losses of 50 steps in float32, and effects, on the GPU and on the CPU.

Each case ends within its part of ten minutes. Writes results/benchmarks/gpu.json and prints the tables of
docs/performance.md. `--device cpu --smoke` tries the code with small networks.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from bench_attfind import spread, the_loop
from bench_training import ROOT
from plain import plain_state, plain_step
from torch import Tensor

from stylex.artifacts import provenance, read_json, write_json
from stylex.attfind.engine import Screen, every_move, logits_of_moves, screened, targets_of
from stylex.classifiers import Classifier, FeatureBackbone
from stylex.classifiers.frozen import NetworkDescription
from stylex.config import ExperimentConfig, load_backbone_config, load_experiment
from stylex.datasets import ImageSplit
from stylex.networks.model import build_networks
from stylex.precision import autocast_to, multiply_in_tf32
from stylex.training.distributed import Processes
from stylex.training.plan import plan
from stylex.training.sampler import BatchSampler, FrozenNetworks, draw
from stylex.training.state import initial_state, training_dtype
from stylex.training.step import advance

EXPERIMENTS = {"model1-64": "ffhq-gender-64-model1", "stylex-256": "ffhq-age-256"}
SEED, STEPS, ROUNDS, IMAGES = 0, 16, 3, 512
LOOP_MOVES, ANALYSED = 64, 4  # of the loop; images whose moves are all measured
SEARCHED = 64  # images of a screened search
AGREEING = 50  # steps
CHANNELS, NAMES = 3, ("a", "b")


@dataclass
class Case:
    """An experiment's networks and images on a device."""

    config: ExperimentConfig
    split: ImageSplit
    frozen: FrozenNetworks
    device: str

    @classmethod
    def of(cls, preset: str, device: str, smoke: bool, precision: str | None = None) -> Case:
        """Make one; precision: of training, in place of the preset's."""
        config = load_experiment(ROOT, EXPERIMENTS[preset])
        training = config.stylex.training
        update: dict[str, Any] = {}
        if precision is not None:
            kinds = {"cpu": precision, "cuda": precision}
            update["precision"] = training.precision.model_copy(update=kinds)
        networks = config.stylex.networks
        if smoke:
            update["batch_size"] = max(networks.minibatch_stddev_group, 2)
            narrow = {f"{name}_channels": {"capacity": 1, "fmap_max": 8} for name in
                      ("generator", "encoder", "discriminator")}  # fmt: skip
            networks = networks.model_validate(networks.model_dump() | narrow | {"latent_dim": 8})
        stylex = config.stylex.model_copy(update={"training": training.model_copy(update=update), "networks": networks})
        config = config.model_copy(update={"stylex": stylex})
        split = random_images(config.dataset.resolution, 16 if smoke else IMAGES)
        backbone = load_backbone_config(ROOT, stylex.perceptual_backbone)
        made = []
        for kind, role, trained in (
            (Classifier, "classifier", config.classifier), (FeatureBackbone, "backbone", backbone),
        ):  # fmt: skip
            torch.manual_seed(SEED)
            description = NetworkDescription.of(role, role, trained, CHANNELS, split.resolution, NAMES)
            description = description.model_copy(update={"width": 0.125 if smoke else description.width})
            made.append(kind(description.build(), description).to(device))
        return cls(config, split, FrozenNetworks(*made, training_dtype(stylex.training, device)), device)

    def ours(self, **acceleration: bool) -> Callable[[], Any]:
        """Return our step; acceleration: options other than the preset's."""
        training = self.config.stylex.training
        chosen = training.acceleration.model_copy(update=acceleration)
        stylex = self.config.stylex.model_copy(
            update={"training": training.model_copy(update={"acceleration": chosen})}
        )
        state = initial_state(stylex, self.split.resolution, CHANNELS, len(NAMES), SEED, self.device)
        sampler = BatchSampler(self.split, self.frozen, stylex, Processes(), self.device)
        return lambda: advance(state, stylex, self.frozen, sampler, Processes())

    def plain(self) -> Callable[[], Any]:
        """Return the textbook's step, in float32 as textbooks are."""
        stylex, sizes = self.config.stylex, (self.split.resolution, CHANNELS, len(NAMES))
        state, size = plain_state(stylex, *sizes, SEED, self.device), stylex.training.batch_size
        interval = stylex.losses.path_length_interval if stylex.losses.path_length else 0

        def step() -> None:
            images = self.split.images(torch.randint(len(self.split), (size,))).to(self.device)
            random = draw(state.networks, size, state.random)
            paths = (
                draw(state.networks, size, state.random, True) if interval and state.step % interval == 0 else random
            )
            plain_step(state, stylex, self.frozen, images, random, paths)

        return step


def random_images(side: int, count: int) -> ImageSplit:
    """Return random images as a prepared dataset is opened."""
    table = numpy.random.default_rng(SEED).integers(0, 256, (count, CHANNELS, side, side), dtype=numpy.uint8)
    labels = torch.zeros(count, dtype=torch.int64)
    return ImageSplit(labels, [str(row) for row in range(count)], NAMES, CHANNELS, side, table, numpy.arange(count))


def seconds(work: Callable[[], Any], device: str, count: int) -> float:
    """Return the mean seconds of so many runs, the device's work included."""
    wait(device)
    start = time.perf_counter()
    for _ in range(count):
        work()
    wait(device)
    return (time.perf_counter() - start) / count


def wait(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device != "cpu":
        torch.cuda.synchronize()


def matrix_peak(device: str, dtype: torch.dtype, side: int) -> float:
    """Return the operations a second of the best of some large matrix products."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    seconds(lambda: a @ b, device, 3)
    return 2 * side**3 / min(seconds(lambda: a @ b, device, 10) for _ in range(3))


def training(preset: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Time the step of a preset in all its ways."""
    case = Case.of(preset, arguments.device, arguments.smoke)
    dtype = training_dtype(case.config.stylex.training, arguments.device)
    batch, steps = case.config.stylex.training.batch_size, 2 if arguments.smoke else STEPS
    ways: dict[str, Callable[[], Callable[[], Any]]] = {"ours": case.ours, "textbook": case.plain}
    if not arguments.smoke:
        ways |= {"compile": lambda: case.ours(compile=True)}
        ways |= {"graphs": lambda: case.ours(compile=True, cuda_graphs=True)} if arguments.device != "cpu" else {}
    found: dict[str, Any] = {"batch": batch, "precision": str(dtype).removeprefix("torch.")}
    for name, make in ways.items():
        try:
            found[name] = timed(make, batch, steps, arguments)
        except Exception as error:  # one way that fails is a result, too
            found[name] = {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
        print(preset, name, found[name], flush=True)
    peak = matrix_peak(arguments.device, dtype, 256 if arguments.smoke else 8192)
    counted = plan(ROOT, case.config, 1, "h100").operations
    if "images_per_second" in found["ours"]:
        found["share_of_peak"] = found["ours"]["images_per_second"] * counted / peak
    return found | {"peak_tflops": peak / 1e12, "tflop_an_image": counted / 1e12}


def timed(
    make: Callable[[], Callable[[], Any]], batch: int, steps: int, arguments: argparse.Namespace
) -> dict[str, float]:
    """Return images a second (median of rounds) and peak memory of one way to do a step."""
    if arguments.device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    step = make()
    first = seconds(step, arguments.device, 2)  # an encoder step and a noise step, compilation included
    rounds = [seconds(step, arguments.device, steps) for _ in range(1 if arguments.smoke else ROUNDS)]
    memory = torch.cuda.max_memory_allocated() / 2**20 if arguments.device != "cpu" else 0.0
    speeds = [batch / each for each in rounds]
    return {
        "images_per_second": statistics.median(speeds), "lowest": min(speeds), "highest": max(speeds),
        "first_steps_seconds": first, "peak_mib": memory,
    }  # fmt: skip


def searching(preset: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Time both engines of AttFind against the loop, seconds a move."""
    case = Case.of(preset, arguments.device, arguments.smoke)
    synthesis, styles = generator_and_styles(case, 4 if arguments.smoke else SEARCHED)
    classifier, options = case.frozen.classifier, case.config.attfind.model_copy(update={"max_attributes": 10})
    extremes = torch.stack([styles.space.amin(0), styles.space.amax(0)])
    some = styles.select(slice(0, 1 if arguments.smoke else ANALYSED))
    moves = every_move(targets_of(some.space, extremes, options.shift))
    few = spread(moves, 4 if arguments.smoke else LOOP_MOVES)
    autocast = autocast_to(training_dtype(case.config.stylex.training, arguments.device), arguments.device)

    def fast() -> Tensor:
        with autocast:
            return logits_of_moves(synthesis, classifier, some, moves, options.batch_size)

    once = {"loop": lambda: the_loop(synthesis, classifier, some, few), "exhaustive": fast}
    counts = {"loop": len(few.index), "exhaustive": len(moves.index)}
    times: dict[str, list[float]] = {name: [] for name in once}
    for number in range(2 if arguments.smoke else 1 + ROUNDS):
        for name, work in once.items():
            spent = seconds(work, arguments.device, 1) / counts[name]
            times[name] += [spent] if number else []  # the first warms up
    found = {name: statistics.median(values) for name, values in times.items()}
    with autocast:
        start = time.perf_counter()
        screen = Screen(synthesis, classifier, styles, extremes, options)
        screened(screen, SEED)
        wait(arguments.device)
        spent = time.perf_counter() - start
    total = 2 * styles.space.numel()
    found |= {"screened_seconds": spent, "screened_ratio": found["loop"] * total / spent, "moves": total}
    return found | {"exhaustive_ratio": found["loop"] / found["exhaustive"]}


def generator_and_styles(case: Case, count: int) -> tuple[Any, Any]:
    """Return a random generator and the styles of so many images."""
    torch.manual_seed(SEED)
    networks = build_networks(case.config.stylex, case.split.resolution, CHANNELS, len(NAMES), SEED).to(case.device)
    networks.eval().requires_grad_(False)
    with torch.inference_mode():
        w = torch.randn(count, case.config.stylex.networks.latent_dim).to(case.device)
        styles = networks.synthesis.styles(networks.w_plus(w, torch.randn(count, len(NAMES)).to(case.device)))
    return networks.synthesis, styles


def agreement(arguments: argparse.Namespace) -> dict[str, float]:
    """Return the largest relative difference of losses, and of effects, between the device and the CPU, in float32.

    Random numbers are drawn on the CPU for both.
    """
    losses: dict[str, list[dict[str, float]]] = {}
    effects = {}
    for device in ("cpu", arguments.device):
        case = Case.of("model1-64", device, smoke=True, precision="float32")
        stylex = case.config.stylex
        state = plain_state(stylex, case.split.resolution, CHANNELS, len(NAMES), SEED, device)
        random = torch.Generator().manual_seed(SEED)
        size, rows = stylex.training.batch_size, []
        for number in range(2 if arguments.smoke else AGREEING):
            state.random = random
            numbers, paths = (moved(draw(state.networks, size, random, flag), device) for flag in (False, True))
            index = torch.arange(number * size, (number + 1) * size) % len(case.split)
            rows.append(plain_step(state, stylex, case.frozen, case.split.images(index).to(device), numbers, paths))
        losses[device] = rows
        synthesis, styles = generator_and_styles(case, 4)
        extremes = torch.stack([styles.space.amin(0), styles.space.amax(0)])
        every = every_move(targets_of(styles.space, extremes, 1.0))
        effects[device] = logits_of_moves(synthesis, case.frozen.classifier, styles, every, 64).cpu()
    pairs = zip(losses["cpu"], losses[arguments.device], strict=True)
    apart = [abs(a[key] - b[key]) / max(abs(a[key]), 1e-3) for a, b in pairs for key in a]
    return {
        "losses_relative": max(apart), "steps": len(losses["cpu"]),
        "effects_absolute": float((effects["cpu"] - effects[arguments.device]).abs().max()),
    }  # fmt: skip


def moved(numbers: Any, device: str) -> Any:
    """Return random numbers on a device."""
    values = vars(numbers).values()
    return type(numbers)(
        *(
            tuple(each.to(device) for each in value) if isinstance(value, tuple) else value.to(device)
            for value in values
        )
    )


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = ["| preset | way | images/s | peak memory | share of the matrix peak |", "|---|---|---:|---:|---:|"]
    for case, row in results.items():
        for way in ("ours", "compile", "graphs", "textbook") if case.startswith("train-") else ():
            if way not in row:
                continue
            share = f"{row['share_of_peak']:.1%}" if way == "ours" and "share_of_peak" in row else ""
            shown = row[way].get("failed") or f"{row[way]['images_per_second']:.1f} | {row[way]['peak_mib']:.0f} MiB"
            lines.append(f"| `{case.removeprefix('train-')}` ({row['precision']}) | {way} | {shown} | {share} |")
    lines += ["", "| AttFind | a move | the loop, a move | ratio | screened, ratio |", "|---|---:|---:|---:|---:|"]
    for case, row in results.items():
        if case.startswith("attfind-"):
            lines.append(
                f"| `{case.removeprefix('attfind-')}` | {1e3 * row['exhaustive']:.3f} ms | {1e3 * row['loop']:.2f} ms"
                f" | **{row['exhaustive_ratio']:.0f}** | **{row['screened_ratio']:.0f}** |"
            )
    return "\n".join(lines)


def main() -> None:
    """Run the cases asked for; those that are not keep what the file has."""
    cases: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {"agreement": agreement}
    for preset in EXPERIMENTS:
        cases[f"train-{preset}"] = lambda arguments, preset=preset: training(preset, arguments)
        cases[f"attfind-{preset}"] = lambda arguments, preset=preset: searching(preset, arguments)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--case", choices=tuple(cases), action="append", help="default: all")
    parser.add_argument("--smoke", action="store_true", help="small networks, few steps: whether it runs")
    parser.add_argument("--output", type=Path, default=ROOT / "results/benchmarks/gpu.json")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("error: PyTorch finds no GPU; --device cpu --smoke tries the code")
    multiply_in_tf32(False)
    results = read_json(arguments.output) if arguments.case and arguments.output.is_file() else {}
    for name in arguments.case or cases:
        results[name] = cases[name](arguments)
        print(name, results[name], flush=True)
        card = torch.cuda.get_device_name() if arguments.device == "cuda" else "none"
        origin = provenance("tests/benchmarks/bench_gpu.py", SEED, arguments.device)
        write_json(arguments.output, results | {"machine": {"gpu": card, "smoke": arguments.smoke, **origin}})
    print(table(results))


if __name__ == "__main__":
    main()
