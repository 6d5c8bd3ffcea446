"""`make bench-attfind`: AttFind's engines against the loop of the replications, medians of five interleaved rounds.

The loop renders and classifies one move at a time, whole generator and whole classifier. `exhaustive-*`: a generator of
[V]'s size (64x64, capacity 16) and torchvision's ResNet-18 on images enlarged to 224x224, random weights; a round is
some moves of one image, spread evenly over the layers. `screened`: the demo's trained models; the loop is timed on some
moves and counted for all of them, since all would take it many minutes. The floor is the classifier alone, at the same
batch and precision. Writes results/benchmarks/attfind.json and prints the table of docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from bench_training import ROOT, peak_resident, processor
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18

from stylex.allocator import keep_freed_memory
from stylex.artifacts import provenance, write_json
from stylex.attfind.engine import Moves, Screen, every_move, logits_of_moves, screened, targets_of
from stylex.classifiers import load_classifier
from stylex.classifiers.frozen import fold_normalisation
from stylex.config import ExperimentPaths, load_experiment
from stylex.errors import ArtifactError
from stylex.latents.table import read_latents
from stylex.networks.model import build_networks, load_stylex
from stylex.networks.stylespace import StyleVector
from stylex.networks.synthesis import Synthesis

ROUNDS = 5
SEED = 0
PLAIN_MOVES, FAST_MOVES = 24, 512  # a round of the large models
SCREENED_PLAIN_MOVES = 512  # a round of the loop on the demo's models
BATCH = 64
SIDE = 224
TOP = 10  # attributes compared and searched for, as [L] Table 3
DEMO = ("mnist", "fashion-mnist")


class Enlarged(nn.Module):
    """ResNet-18 of torchvision on grey images enlarged to 224x224, two classes; folded as every classifier of ours."""

    def __init__(self, folded: bool) -> None:
        super().__init__()
        torch.manual_seed(SEED)
        network = resnet18(num_classes=2).eval().requires_grad_(False)
        network = fold_normalisation(network) if folded else network
        self.network = network.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Map [N, 1 or 3, H, W] to [N, 2]."""
        images = F.interpolate(images.expand(-1, 3, -1, -1), (SIDE, SIDE), mode="bilinear")
        return self.network(images.contiguous(memory_format=torch.channels_last))


def the_loop(synthesis: Synthesis, classifier: nn.Module, styles: StyleVector, moves: Moves) -> Tensor:
    """Return logits [M, classes] as [V]'s code gets them: one move, one image, everything anew."""
    logits = []
    with torch.inference_mode():
        for image, index, value in zip(
            *(column.tolist() for column in (moves.image, moves.index, moves.value)), strict=True
        ):
            space = styles.space[image : image + 1].clone()
            space[0, index] = value
            logits.append(classifier(synthesis.render(StyleVector(space, styles.to_rgb[image : image + 1]))))
    return torch.cat(logits)


def spread(moves: Moves, count: int) -> Moves:
    """Return `count` moves, evenly over their order (which goes through the layers)."""
    return moves.select(torch.arange(count) * len(moves.index) // count)


def seconds(work: Callable[[], object]) -> float:
    """Return how long the work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def exhaustive(rounds: int) -> dict[str, dict[str, float]]:
    """Time the exhaustive engine in both precisions, the loop and the floor, in turn; seconds are a move's."""
    config = load_experiment(ROOT, "mnist").stylex
    widths = {"capacity": 16, "fmap_max": 512}
    paper = {f"{network}_channels": widths for network in ("generator", "encoder", "discriminator")}
    networks = config.networks.model_validate(config.networks.model_dump() | paper | {"downsampling": "fir"})
    synthesis = build_networks(config.model_copy(update={"networks": networks}), 64, 1, 2, SEED).synthesis
    synthesis.requires_grad_(False)
    classifier, as_it_is = Enlarged(folded=True), Enlarged(folded=False)
    generator = torch.Generator().manual_seed(SEED)
    with torch.inference_mode():
        space = synthesis.styles(torch.randn(16, synthesis.affine.weight.shape[1], generator=generator))
    extremes = torch.stack([space.space.amin(0), space.space.amax(0)])
    styles = space.select(slice(0, 1))
    moves = every_move(targets_of(styles.space, extremes, 1.0))
    few, many = spread(moves, PLAIN_MOVES), spread(moves, FAST_MOVES)
    images = torch.randn(BATCH, 1, 64, 64, generator=generator)

    def fast(asked: Moves) -> Tensor:
        return logits_of_moves(synthesis, classifier, styles, asked, BATCH)

    def floor() -> None:
        with torch.inference_mode():
            classifier(images)

    low = torch.autocast("cpu", torch.bfloat16)
    times: dict[str, list[float]] = {name: [] for name in ("plain", "fp32", "bf16", "floor-fp32", "floor-bf16")}
    the_loop(synthesis, as_it_is, styles, few.select(torch.arange(2)))
    fast(few)
    for number in range(rounds):
        times["plain"].append(seconds(lambda: the_loop(synthesis, as_it_is, styles, few)) / PLAIN_MOVES)
        times["fp32"].append(seconds(lambda: fast(many)) / FAST_MOVES)
        times["floor-fp32"].append(seconds(floor) / BATCH)
        with low:
            times["bf16"].append(seconds(lambda: fast(many)) / FAST_MOVES)
            times["floor-bf16"].append(seconds(floor) / BATCH)
        print(number + 1, {name: f"{values[-1] * 1000:.2f} ms" for name, values in times.items()}, file=sys.stderr)
    with torch.inference_mode():
        base, plain_base = classifier(synthesis.render(styles)), as_it_is(synthesis.render(styles))
    exact = the_loop(synthesis, as_it_is, styles, few) - plain_base
    error = (fast(few) - base - exact).abs().max().item()
    full = fast(many) - base
    with low, torch.inference_mode():
        rounded = fast(many) - classifier(synthesis.render(styles)).float()
    shared = len(top(full, TOP) & top(rounded, TOP))
    median = {name: statistics.median(values) for name, values in times.items()}
    common = {"plain": median["plain"], "moves": len(moves.index), "rounds": rounds, "peak_mib": peak_resident()}
    return {
        f"exhaustive-{precision}": {
            "ours": median[precision],
            "ratio": median["plain"] / median[precision],
            "floor": median[f"floor-{precision}"],
            "times_floor": median[precision] / median[f"floor-{precision}"],
            **extra,
            **common,
        }
        for precision, extra in (("fp32", {"largest_error": error}), ("bf16", {"top_10_shared": shared}))
    }


def top(effect: Tensor, count: int) -> set[int]:
    """Return the moves with the largest effects on the first class."""
    return set(effect[:, 0].topk(count).indices.tolist())


def screening(rounds: int) -> dict[str, float]:
    """Time the screened search on the demo's models together, against the loop over all their moves."""
    ours, plain, evaluations, total = [], [], 0, 0
    cases = [demo_case(name) for name in DEMO]
    for number in range(rounds):
        spent = [0.0, 0.0]
        evaluations = total = 0
        for synthesis, classifier, styles, extremes, options in cases:
            moves = every_move(targets_of(styles.space, extremes, options.shift))
            some = spread(moves, SCREENED_PLAIN_MOVES)
            once = seconds(lambda: the_loop(synthesis, classifier, styles, some)) / SCREENED_PLAIN_MOVES  # noqa: B023
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bfloat16"):
                screen = Screen(synthesis, classifier, styles, extremes, options)
                screened(screen, SEED)
            spent[0] += time.perf_counter() - start
            spent[1] += once * len(moves.index)
            evaluations, total = evaluations + screen.evaluations, total + len(moves.index)
        ours.append(spent[0])
        plain.append(spent[1])
        print(number + 1, f"screened {spent[0]:.2f} s, the loop {spent[1]:.0f} s", file=sys.stderr)
    return {
        "ours": statistics.median(ours), "plain": statistics.median(plain),
        "ratio": statistics.median(plain) / statistics.median(ours),
        "evaluations": evaluations, "moves": total, "rounds": rounds, "peak_mib": peak_resident(),
    }  # fmt: skip


def demo_case(name: str) -> tuple:
    """Load one trained experiment of the demo."""
    config, paths = load_experiment(ROOT, name), ExperimentPaths(ROOT, name)
    try:
        latents, synthesis = read_latents(paths.latents), load_stylex(paths.stylex_model).synthesis
        classifier = load_classifier(paths.classifier.model)
    except ArtifactError as error:
        raise SystemExit(f"error: {error}; the case `screened` needs the demo's models: `make demo`") from None
    options = config.attfind.model_copy(update={"max_attributes": TOP})
    return synthesis.requires_grad_(False), classifier, latents.style_vector(), latents.extremes, options


def table(results: dict[str, dict[str, float]]) -> str:
    """Return the results as Markdown."""
    lines = ["| case | ours | the loop | ratio | classifier alone | times that |", "|---|---:|---:|---:|---:|---:|"]
    for case, row in results.items():
        unit, factor = ("s a search", 1) if case == "screened" else ("ms a move", 1000)
        floor = f"{row['floor'] * factor:.2f} {unit} | {row['times_floor']:.2f}" if "floor" in row else "– | –"
        lines.append(
            f"| `{case}` | {row['ours'] * factor:.2f} {unit} | {row['plain'] * factor:.1f} {unit}"
            f" | **{row['ratio']:.1f}** | {floor} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--output", type=Path, default=ROOT / "results/benchmarks/attfind.json")
    arguments = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    results = {"screened": screening(arguments.rounds)}
    results = exhaustive(arguments.rounds) | results
    machine = {"processor": processor(), "threads": arguments.threads, "batch": BATCH}
    origin = provenance("tests/benchmarks/bench_attfind.py", SEED)
    write_json(arguments.output, {**results, "machine": {**machine, **origin}})
    print(table(results))


if __name__ == "__main__":
    main()
