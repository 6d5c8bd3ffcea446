"""What `make bench-scaling` times: searches of AttFind and training steps of growing networks with random weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from bench_gpu import CHANNELS, Case, generator_and_styles, random_images
from bench_training import ROOT, random_network
from paper_training import as_papers

from stylex.attfind.effects import shard_groups
from stylex.attfind.engine import Screen, every_move, logits_of_moves, screened, targets_of
from stylex.classifiers import Classifier, FeatureBackbone
from stylex.config import StylexConfig, load_experiment
from stylex.precision import autocast_to, number_format
from stylex.training.distributed import Processes
from stylex.training.sampler import BatchSampler, FrozenNetworks
from stylex.training.state import initial_state, training_dtype
from stylex.training.step import advance

SEED = 0
EXPERIMENT = "mnist"  # whose options are used, with other widths and resolutions
TRAINING_IMAGES = 64
BATCH = 8  # of training, where it does not grow
ATTRIBUTES = 10  # that a screened search looks for
ALONE, SHARED, BESIDE = "one process", "two processes, one training", "two trainings side by side"
EXHAUSTIVE, SCREENED = "exhaustive", "screened"
UNITS = {"attfind": "s", "training": "images/s"}
Answer = dict[str, float]


class Sizes(NamedTuple):
    """What the sweeps go through."""

    images: tuple[int, ...]  # N
    capacities: tuple[int, ...]  # of the generator: K = 58 capacities at 32x32
    screened_capacities: tuple[int, ...]
    resolutions: tuple[int, ...]
    batches: tuple[int, ...]
    widths: tuple[int, ...]  # times the channels of all three networks
    searched: int  # images where two processes share them
    screened_images: int  # where coordinates grow
    steps: int  # of training, in a round


FULL = Sizes(
    (64, 128, 256, 512, 1024), (2, 4, 8, 16, 32), (2, 4, 8), (32, 64, 128), (8, 16, 32), (1, 2, 4), 128, 16, 16
)
QUICK = Sizes((8, 16), (1, 2), (1, 2), (16, 32), (8, 16), (1, 2), 16, 8, 2)


@dataclass(frozen=True)
class Point:
    """One point of a curve: what is timed, at one value of what grows."""

    part: str  # attfind or training
    sweep: str  # what grows
    way: str  # the curve
    x: int
    resolution: int = 32
    channels: tuple[int, ...] = (16, 8, 4, 2)  # of the generator, at 4x4, 8x8, …
    images: int = 1  # searched; of a batch
    width: int = 1
    processes: int = 1
    steps: int = 0

    @property
    def curve(self) -> str:
        """The name of its curve."""
        return f"{self.part}, {self.sweep}, {self.way}"

    def facts(self) -> dict[str, Any]:
        """Return what describes it, for the record."""
        facts = {key: value for key, value in asdict(self).items() if key not in ("channels", "width", "steps")}
        if self.part == "training":
            return facts | {"width": self.width, "steps": self.steps}
        return facts | {"coordinates": config_of(self).networks.style_space(self.resolution)}


def points(sizes: Sizes) -> Iterator[Point]:
    """Yield all points."""
    few = sizes.screened_images
    for count in sizes.images:
        for way in (EXHAUSTIVE, SCREENED):
            yield Point("attfind", "images", way, count, images=count)
    for way, capacities, images in ((EXHAUSTIVE, sizes.capacities, 1), (SCREENED, sizes.screened_capacities, few)):
        for capacity in capacities:
            channels = tuple(2 * capacity * each for each in (8, 4, 2, 1))
            size = channels[0] + sum(a + b for a, b in zip(channels, channels[1:], strict=False))
            yield Point("attfind", "coordinates", way, size, channels=channels, images=images)
    for side in sizes.resolutions:
        channels = (16,) * (side.bit_length() - 2)
        for way, images in ((EXHAUSTIVE, 4), (SCREENED, 8)):
            yield Point("attfind", "resolution", way, side, side, channels, images=images)
    for count in (1, 2):
        yield Point("attfind", "processes", EXHAUSTIVE, count, images=sizes.searched, processes=count)
    for way, count in ((ALONE, 1), (SHARED, 2), (BESIDE, 2)):
        for side in sizes.resolutions:
            yield Point("training", "resolution", way, side, side, images=BATCH, processes=count, steps=sizes.steps)
    for size in sizes.batches:
        yield Point("training", "batch", ALONE, size, images=size, steps=sizes.steps)
    for width in sizes.widths:
        yield Point("training", "width", ALONE, width, images=BATCH, width=width, steps=sizes.steps)


def config_of(point: Point) -> StylexConfig:
    """Return the options of its networks and training: the papers' step, so that every step is of one kind."""
    config = as_papers(load_experiment(ROOT, EXPERIMENT).stylex)
    wide = point.resolution.bit_length() - 4  # resolutions before the last two
    channels = {"generator_channels": list(point.channels)}
    if point.part == "training":
        lists = {"generator": [*[32] * wide, 24, 16], "encoder": [*[64] * wide, 32, 16]}
        lists["discriminator"] = lists["encoder"]
        channels = {f"{name}_channels": [each * point.width for each in widths] for name, widths in lists.items()}
    else:
        narrow = [4] * (wide + 2)  # encoder and discriminator are not searched
        channels |= {"encoder_channels": narrow, "discriminator_channels": narrow}
    networks = config.networks.model_copy(update=channels)
    training = config.training.model_copy(update={"batch_size": point.images})
    return config.model_copy(update={"networks": networks, "training": training})


def case_of(point: Point) -> Case:
    """Return its networks and random images."""
    experiment, stylex = load_experiment(ROOT, EXPERIMENT), config_of(point)
    split = random_images(point.resolution, TRAINING_IMAGES)
    classifier = random_network(Classifier, "classifier", experiment.classifier.width, split)
    backbone = random_network(FeatureBackbone, "backbone", experiment.classifier.width, split)
    frozen = FrozenNetworks(classifier, backbone, training_dtype(stylex.training, "cpu"))
    return Case(experiment.model_copy(update={"stylex": stylex}), split, frozen, "cpu")


@cache
def work_of(point: Point, worker: int, processes: Processes) -> Callable[[], Answer]:
    """Return what does a round of this worker's share and says how long it took; made, and warm, when it returns."""
    return (search if point.part == "attfind" else steps)(point, worker, processes)


def steps(point: Point, worker: int, processes: Processes) -> Callable[[], Answer]:
    """Return the training: of its own, or shared by the processes that `processes` names."""
    case = case_of(point)
    stylex, split = case.config.stylex, case.split
    state = initial_state(stylex, split.resolution, CHANNELS, len(split.class_names), SEED, "cpu")
    sampler = BatchSampler(split, case.frozen, stylex, processes, "cpu")

    def do(count: int) -> Answer:
        start = time.perf_counter()
        for _ in range(count):
            advance(state, stylex, case.frozen, sampler, processes)
        return {"seconds": time.perf_counter() - start}

    do(2)  # an encoder step and a noise step
    return lambda: do(point.steps)


def search(point: Point, worker: int, processes: Processes) -> Callable[[], Answer]:
    """Return the search: exhaustive as the stage does it, group by group of its shard; or screened."""
    case = case_of(point)
    synthesis, styles = generator_and_styles(case, point.images)
    extremes = torch.stack([styles.space.amin(0), styles.space.amax(0)])
    if point.images == 1:
        extremes += torch.tensor([[-1.0], [1.0]])
    options = case.config.attfind.model_copy(update={"max_attributes": ATTRIBUTES})
    classifier, moves = case.frozen.classifier, 2 * synthesis.layout.size
    groups = shard_groups(point.images, max(1, options.batch_size // moves), worker, point.processes)

    def everything() -> int:
        for group in groups:
            some = styles.select(slice(group.start, group.stop))
            asked = every_move(targets_of(some.space, extremes, options.shift))
            logits_of_moves(synthesis, classifier, some, asked, options.batch_size)
        return sum(map(len, groups)) * moves

    def screen() -> int:
        search = Screen(synthesis, classifier, styles, extremes, options)
        screened(search, SEED)
        return search.evaluations

    def do() -> Answer:
        start = time.perf_counter()
        with autocast_to(number_format(options.precision, "cpu"), "cpu"):
            evaluations = (everything if point.way == EXHAUSTIVE else screen)()
        return {"seconds": time.perf_counter() - start, "evaluations": evaluations}

    with autocast_to(number_format(options.precision, "cpu"), "cpu"), torch.inference_mode():
        classifier(synthesis.render(styles.select(slice(0, 1))))
    return do
