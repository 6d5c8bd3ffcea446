"""`make bench-scaling`: how AttFind and training grow: images, coordinates, resolution, batch, width, processes.

Every process has one thread; weights and images are random, which cost the same as real ones, but a screened search
measures more or less of trained networks. A round times every point once, in turn, forwards and backwards alternately;
medians of three rounds. Shards of a search, trainings side by side and the processes that share a training (started by
torchrun, gloo) work at the same time; the slowest counts. Writes results/benchmarks/scaling.json and two figures into
docs/images, with the exponents of fitted power laws, and prints the tables of docs/performance.md. --table prints and
draws what was measured before; --quick tries the code with small sizes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy
import torch
from bench_training import ROOT, processor
from scaling_cases import BESIDE, FULL, QUICK, SEED, SHARED, UNITS, Point, points, work_of
from scaling_figures import draw
from waiting import Waiting

from stylex.allocator import keep_freed_memory
from stylex.artifacts import provenance, read_json, write_json
from stylex.training.distributed import joined

ROUNDS = 3
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
HEADINGS = {
    "images": "images N", "coordinates": "coordinates K", "resolution": "side in pixels", "processes": "processes",
    "batch": "images of a batch", "width": "times the channels",
}  # fmt: skip


def serve() -> None:
    """Do what each line on stdin names and answer with its seconds; processes that torchrun started do it together."""
    keep_freed_memory()
    torch.set_num_threads(1)
    with joined("cpu") as (processes, _):
        while line := processes.of_first(sys.stdin.readline() if processes.first else None):
            content = json.loads(line)
            channels = tuple(content["point"].pop("channels"))
            point = Point(**content["point"], channels=channels)
            work = work_of(point, content["worker"], processes)
            answer = {} if content["warm"] else work()
            if processes.first:
                print(json.dumps(answer), flush=True)


class Workers:
    """Two processes of their own, and two that share what they do."""

    def __init__(self) -> None:
        command = [__file__, "--serve"]
        self.own = [Waiting([sys.executable, *command]) for _ in range(2)]
        self.together = Waiting([sys.executable, *TORCHRUN, *command])

    def do(self, point: Point, warm: bool = False) -> dict[str, float]:
        """Let all that a point needs work at once; return the seconds of the slowest, and what was evaluated."""
        chosen = [self.together] if point.way == SHARED else self.own[: point.processes]
        for worker, process in enumerate(chosen):
            process.ask(json.dumps({"point": asdict(point), "worker": worker, "warm": warm}))
        answers = [json.loads(process.answer()) for process in chosen]
        if warm:
            return {}
        evaluations = sum(answer.get("evaluations", 0) for answer in answers)
        return {"seconds": max(answer["seconds"] for answer in answers), "evaluations": evaluations}

    def end(self) -> None:
        """End all of them."""
        for process in (*self.own, self.together):
            process.end()


def measure(chosen: list[Point], rounds: int) -> list[dict[str, Any]]:
    """Time all points in turn; return what describes each, with the median, lowest and highest value."""
    workers = Workers()
    times: dict[Point, list[float]] = {point: [] for point in chosen}
    evaluations: dict[Point, float] = {}
    for point in chosen:
        workers.do(point, warm=True)
    for number in range(rounds):
        for point in chosen if number % 2 == 0 else reversed(chosen):
            found = workers.do(point)
            times[point].append(found["seconds"])
            evaluations[point] = found["evaluations"]
            print(f"round {number + 1}: {point.curve}, {point.x}: {found['seconds']:.2f} s", file=sys.stderr)
    workers.end()
    rows = []
    for point, seconds in times.items():
        values = [value_of(point, each) for each in seconds]
        row = point.facts() | {"unit": UNITS[point.part], "value": statistics.median(values)}
        row |= {"lowest": min(values), "highest": max(values)}
        rows.append(row | ({"evaluations": evaluations[point]} if point.part == "attfind" else {}))
    return rows


def value_of(point: Point, seconds: float) -> float:
    """Return what is drawn: the seconds of a search, or the images a second of training."""
    trainings = 2 if point.way == BESIDE else 1
    return seconds if point.part == "attfind" else trainings * point.images * point.steps / seconds


def exponents(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return by curve the exponent b of the least-squares fit of value = a x**b, in logarithms."""
    found = {}
    for curve in dict.fromkeys(map(curve_of, rows)):
        of_curve = [row for row in rows if curve_of(row) == curve]
        x, y = (numpy.log([row[key] for row in of_curve]) for key in ("x", "value"))
        found[curve] = float(numpy.polyfit(x, y, 1)[0])
    return found


def curve_of(row: dict[str, Any]) -> str:
    """Return the name of a row's curve."""
    return f"{row['part']}, {row['sweep']}, {row['way']}"


def table(measured: dict[str, Any]) -> str:
    """Return the results as Markdown: a row for each curve, with what stays the same and the fitted exponent."""
    lines = []
    for part, title in (("attfind", "AttFind"), ("training", "training")):
        lines += [
            f"| {title} | what grows | same for all | measured, {UNITS[part]} | exponent |",
            "|---|---|---|---|---:|",
        ]
        for curve, exponent in measured["exponents"].items():
            rows = [row for row in measured["points"] if curve_of(row) == curve and row["part"] == part]
            if rows:
                values = ", ".join(f"{row['x']}: {row['value']:.3g}" for row in rows)
                cells = (rows[0]["way"], HEADINGS[rows[0]["sweep"]], same(rows), values, f"{exponent:.2f}")
                lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines).rstrip()


def same(rows: list[dict[str, Any]]) -> str:
    """Return what does not change along a curve, in words."""
    words = {"images": "N = {}" if rows[0]["part"] == "attfind" else "batch {}", "coordinates": "K = {}"}
    words |= {"resolution": "{0}x{0}", "width": "width {}"}
    first = rows[0]
    parts = [
        text.format(first[key]) for key, text in words.items() if len({row[key] for row in rows if key in row}) == 1
    ]
    return ", ".join(parts)


def main() -> None:
    """Measure, or read what was measured; draw and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help="one round of small sizes: whether it runs")
    parser.add_argument("--table", action="store_true", help="measure nothing: print and draw what the file holds")
    parser.add_argument("--output", type=Path, default=ROOT / "results/benchmarks/scaling.json")
    parser.add_argument("--images", type=Path, default=ROOT / "docs/images", help="folder of the figures")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve()
    if not arguments.table:
        rounds = 1 if arguments.quick else arguments.rounds
        rows = measure(list(points(QUICK if arguments.quick else FULL)), rounds)
        command = " ".join(["python", "tests/benchmarks/bench_scaling.py", *sys.argv[1:]])
        machine = {"processor": processor(), "threads": 1, "rounds": rounds, "quick": arguments.quick}
        machine |= {"command": command, **provenance("tests/benchmarks/bench_scaling.py", SEED)}
        write_json(arguments.output, {"points": rows, "exponents": exponents(rows), "machine": machine})
    measured = read_json(arguments.output)
    for part in UNITS:
        draw(measured, part, arguments.images / f"scaling-{part}.svg")
    print(table(measured))


if __name__ == "__main__":
    main()
