"""`make bench-reading`: images at 256x256 in colour that are ready to be sent to a GPU, a second.

Ours: `Reader`, whose threads gather batches of bytes from the memory map; beside it torch's DataLoader with as many
worker processes, which gather the same batches. No decoding: datasets are prepared once. A round is 60 batches of 64 in
random order; medians of five rounds, in turn. The file is in the page cache, as after a first epoch. Bytes become
floats on the device, which is not in these numbers.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import torch
from bench_training import ROOT, processor
from torch.utils.data import DataLoader, Dataset

from stylex.artifacts import provenance, write_json
from stylex.datasets import ImageSplit
from stylex.training.reading import Reader
from stylex.training.sampler import AHEAD

COUNT, SIDE, BATCH, BATCHES, ROUNDS, SEED = 4000, 256, 64, 60, 5, 0
WORKERS = (0, 1, 4)


class Rows(Dataset):
    """The split for a DataLoader, a batch at a time."""

    def __init__(self, split: ImageSplit) -> None:
        self.split = split

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.split)

    def __getitems__(self, rows: list[int]) -> torch.Tensor:
        """Gather a batch."""
        return self.split.raw(torch.tensor(rows))


def make_split(folder: Path) -> ImageSplit:
    """Write random images, and return them as a prepared dataset is opened: a memory map."""
    file = folder / "images"
    numpy.random.default_rng(SEED).integers(0, 256, (COUNT, 3, SIDE, SIDE), dtype=numpy.uint8).tofile(file)
    table = numpy.memmap(file, numpy.uint8, "r", shape=(COUNT, 3, SIDE, SIDE))
    labels = torch.zeros(COUNT, dtype=torch.int64)
    return ImageSplit(labels, [str(row) for row in range(COUNT)], ("a", "b"), 3, SIDE, table, numpy.arange(COUNT))


def read(split: ImageSplit, threads: int) -> Iterator[torch.Tensor]:
    """Yield the batches of a round as a training gets them."""
    reader, order = Reader(split, "cpu", threads), torch.randint(COUNT, (BATCHES * BATCH,)).split(BATCH)
    for place, rows in enumerate(order):
        yield reader.bytes(rows, order[place + 1 : place + 1 + AHEAD])


def loaded(split: ImageSplit, workers: int) -> Iterator[torch.Tensor]:
    """Yield the same by a DataLoader."""
    order = torch.randint(COUNT, (BATCHES * BATCH,)).split(BATCH)
    loader = DataLoader(
        Rows(split), batch_sampler=[rows.tolist() for rows in order], num_workers=workers, collate_fn=list
    )
    yield from loader


def speed(batches: Callable[[], Iterator[torch.Tensor]]) -> float:
    """Return the images a second of a round, what starts and ends it included."""
    start = time.perf_counter()
    count = sum(len(images) for images in batches())
    return count / (time.perf_counter() - start)


def table(results: dict[str, float]) -> str:
    """Return the results as Markdown."""
    lines = ["| threads or workers | our threads, images/s | DataLoader, images/s |", "|---:|---:|---:|"]
    for workers in WORKERS:
        lines.append(f"| {workers} | {results[f'readers-{workers}']:,.0f} | {results[f'dataloader-{workers}']:,.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, write results/benchmarks/reading.json and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--output", type=Path, default=ROOT / "results/benchmarks/reading.json")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*worker processes in total.*")
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    with tempfile.TemporaryDirectory() as folder:
        split, found = make_split(Path(folder)), dict[str, list[float]]()
        for _ in range(arguments.rounds):
            for workers in WORKERS:
                for name, way in (("readers", read), ("dataloader", loaded)):
                    found.setdefault(f"{name}-{workers}", []).append(speed(lambda w=workers, way=way: way(split, w)))
    results = {case: statistics.median(values) for case, values in found.items()}
    machine = {"processor": processor(), "rounds": arguments.rounds, "batch": BATCH, "images": COUNT}
    origin = provenance("tests/benchmarks/bench_reading.py", SEED)
    write_json(arguments.output, {"images_per_second": results, "machine": {**machine, **origin}})
    print(table(results))


if __name__ == "__main__":
    main()
