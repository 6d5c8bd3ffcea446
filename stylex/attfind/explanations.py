"""Explanations of single images ([L] 3.4): which coordinates turn the classifier's decision on this image.

Independent: the coordinates with the largest effects on the image, each moved alone on the reconstruction (figure 7).
Subset: greedy; each step takes what raises the target class the most given what is moved already, until the flip.
An effect is the change of the target's logit minus the largest other logit, which is positive just when it decides.
Moves are searched in the precision of attfind.precision; what is recorded is the answer in float32 to a full rendering.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Protocol

import pandas
import torch
from torch import Tensor

from stylex.artifacts import provenance, write_table
from stylex.attfind.engine import Moves, Scorer, logits_of_moves, targets_of
from stylex.attfind.records import IMAGES_TOWARDS, Direction, Method
from stylex.classifiers import load_classifier
from stylex.config import experiment_paths, load_experiment
from stylex.errors import ArtifactError
from stylex.latents.table import read_latents
from stylex.networks.model import StylexNetworks, load_stylex
from stylex.networks.stylespace import StyleVector
from stylex.precision import autocast_to, format_name, number_format
from stylex.progress import progress


@dataclass(frozen=True)
class Step:
    """One coordinate moved on one image: by `SUBSET` after those of the steps before, by `INDEPENDENT` alone."""

    step: int  # 1 is the first
    style_index: int
    layer: int
    channel: int
    direction: Direction
    probability_before: float  # of the target class, without this step; by `INDEPENDENT` of the reconstruction
    probability_after: float
    flipped: bool  # with this step the classifier says the target class

    def record(self) -> dict[str, int | float | bool | str]:
        """Return the values by column of the table."""
        return asdict(self) | {"direction": self.direction.label}


COLUMNS = ("id", "target_class", *(field.name for field in fields(Step)))


class MoveOptions(Protocol):
    """What a search must be told; `AttFindConfig` says it, and so does an export."""

    @property
    def shift(self) -> float: ...  # noqa: D102

    @property
    def precision(self) -> str: ...  # noqa: D102

    @property
    def batch_size(self) -> int: ...  # noqa: D102


class Explainer:
    """The networks of an experiment and how far a coordinate moves."""

    def __init__(
        self, networks: StylexNetworks, classifier: Scorer, extremes: Tensor, options: MoveOptions, device: str
    ) -> None:
        """Take the extremes [2, K] of the latents; raise `ArtifactError` when these are of another network."""
        size = networks.synthesis.layout.size
        if extremes.shape[1] != size:
            raise ArtifactError(f"the latents have {extremes.shape[1]} styles, the network {size}; encode again")
        self.synthesis, self.classifier, self.options = networks.synthesis, classifier, options
        self.extremes = extremes.to(device)
        self.dtype = number_format(options.precision, device)
        self.autocast = autocast_to(self.dtype, device)

    @torch.inference_mode()
    def explain(
        self, styles: StyleVector, targets: Tensor, method: Method, attributes: int, barred: Tensor | None = None,
        alone: Tensor | None = None,
    ) -> list[list[Step]]:  # fmt: skip
        """Return the steps, at most `attributes`, of each image towards its target class.

        styles: of N images; targets [N] int64, none of them what the classifier says of the reconstruction already;
        barred [N, K] bool: coordinates that stay where they are; alone: `moved_alone` of these images, where it is
        known. An image for which nothing raises the target has no step.
        """
        alone = self.moved_alone(styles, targets) if alone is None else alone
        barred = torch.zeros_like(styles.space, dtype=torch.bool) if barred is None else barred
        alone, count = alone.masked_fill(barred[:, None], -torch.inf), min(attributes, self.synthesis.layout.size)
        if method is Method.INDEPENDENT:
            return self._independent(styles, targets, count, alone)
        return self._subset(styles, targets, count, alone, barred)

    @torch.inference_mode()
    def moved_alone(self, styles: StyleVector, targets: Tensor) -> Tensor:
        """Return the margins [N, 2, K] after each single move: what every search begins with.

        -inf where the coordinate is where the move would end: such an effect is rounding.
        """
        return self._margins_of_moves(styles, targets, torch.zeros_like(styles.space, dtype=torch.bool))

    def moved(self, styles: StyleVector, rows: Tensor, index: Tensor, direction: Tensor) -> StyleVector:
        """Return the styles of N images with moves made; rows, index, direction [m] int64, one move each."""
        ends = targets_of(styles.space, self.extremes, self.options.shift)
        return Moves(rows, index, ends[rows, direction, index]).applied(styles)

    def logits_of(self, styles: StyleVector) -> Tensor:
        """Return the classifier's logits [N, classes] of the images of these styles."""
        batches = torch.arange(len(styles.space), device=styles.space.device).split(self.options.batch_size)
        return torch.cat([self.classifier(self.synthesis.render(styles.select(rows))).float() for rows in batches])

    def _independent(self, styles: StyleVector, targets: Tensor, count: int, alone: Tensor) -> list[list[Step]]:
        found: list[list[Step]] = [[] for _ in targets]
        before = self.logits_of(styles)
        with self.autocast:
            base = margins(self.logits_of(styles), targets)
        effect, direction = (alone - base[:, None, None]).max(dim=1)  # [N, K]
        effect, order = effect.sort(dim=1, descending=True, stable=True)
        for step in range(count):
            rows = torch.nonzero(effect[:, step] > 0).flatten()
            if not len(rows):
                break
            moves = order[rows, step], direction[rows, order[rows, step]]
            after = self.logits_of(self.moved(styles.select(rows), torch.arange(len(rows), device=rows.device), *moves))
            self._record(found, rows, *moves, targets[rows], before[rows], after)
        return found

    def _subset(
        self, styles: StyleVector, targets: Tensor, count: int, after: Tensor, barred: Tensor
    ) -> list[list[Step]]:
        found: list[list[Step]] = [[] for _ in targets]
        logits, fixed = self.logits_of(styles), barred.clone()
        styles = styles._replace(space=styles.space.clone())
        rows = torch.arange(len(targets), device=targets.device)
        for step in range(count):
            if step:
                after = self._margins_of_moves(styles.select(rows), targets[rows], fixed[rows])
            margin, best = after.flatten(1).max(dim=1)
            rows, best = rows[margin > -torch.inf], best[margin > -torch.inf]
            if not len(rows):
                break
            index, direction = best % fixed.shape[1], best // fixed.shape[1]
            moved = self.moved(styles.select(rows), torch.arange(len(rows), device=rows.device), index, direction)
            new = self.logits_of(moved)
            # A step must bring the image nearer to its target; otherwise its search ends.
            nearer = margins(new, targets[rows]) > margins(logits[rows], targets[rows])
            rows, index, direction, new = rows[nearer], index[nearer], direction[nearer], new[nearer]
            self._record(found, rows, index, direction, targets[rows], logits[rows], new)
            styles.space[rows], logits[rows], fixed[rows, index] = moved.space[nearer], new, True
            rows = rows[new.argmax(dim=1) != targets[rows]]
        return found

    def _margins_of_moves(self, styles: StyleVector, targets: Tensor, fixed: Tensor) -> Tensor:
        """Return the margins [n, 2, K] after each further move; -inf where `fixed` [n, K] or where nothing moves."""
        values = targets_of(styles.space, self.extremes, self.options.shift)
        free = ~fixed[:, None] & (values != styles.space[:, None])
        found = torch.full(free.shape, -torch.inf, device=values.device)
        image, _, index = torch.nonzero(free, as_tuple=True)
        if not len(image):
            return found
        moves = Moves(image, index, values[free])
        with self.autocast:
            logits = logits_of_moves(self.synthesis, self.classifier, styles, moves, self.options.batch_size)
        found[free] = margins(logits, targets[image])
        return found

    def _record(
        self, found: list[list[Step]], rows: Tensor, index: Tensor, direction: Tensor, targets: Tensor, before: Tensor,
        after: Tensor,
    ) -> None:  # fmt: skip
        """Add a step to each image of `rows` [n]; before, after [n, classes] logits."""
        chances = (logits.softmax(dim=1).gather(1, targets[:, None])[:, 0].tolist() for logits in (before, after))
        flipped = (after.argmax(dim=1) == targets).tolist()
        for row, place, to, *answer in zip(
            rows.tolist(), index.tolist(), direction.tolist(), *chances, flipped, strict=True
        ):
            located = self.synthesis.layout.locate(place)
            found[row].append(Step(len(found[row]) + 1, place, *located, Direction(to), *answer))


def margins(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the target's logit minus the largest other one, [N]; logits [N, classes], targets [N] int64."""
    chosen = targets[:, None]
    others = logits.scatter(1, chosen, -torch.inf).amax(dim=1)
    return logits.gather(1, chosen)[:, 0] - others


def runners_up(logits: Tensor) -> Tensor:
    """Return the second class of each image, [N] int64; of two classes, the other one. logits [N, classes]."""
    return logits.topk(2, dim=1).indices[:, 1]


def first_of_each_class(labels: Tensor, count: int) -> Tensor:
    """Return the rows of the first `count` images, as evenly over the classes as their sizes allow, in order.

    labels [N] int64.
    """
    among_its_class = torch.nn.functional.one_hot(labels).cumsum(dim=0).gather(1, labels[:, None])[:, 0]
    return among_its_class.argsort(stable=True)[:count].sort().values


def explain_analysed(root: Path, name: str, device: str) -> None:
    """Write the experiment's independent.csv and subset.csv: the first of the measured images, both methods.

    The target of an image is the runner-up of its reconstruction.
    """
    config, paths = load_experiment(root, name), experiment_paths(root, name)
    options = config.attfind
    latents = read_latents(paths.latents).under(options.protocol)
    networks, classifier = load_stylex(paths.stylex_model, device), load_classifier(paths.classifier.model, device)
    explainer = Explainer(networks, classifier, latents.extremes, options, device)
    measured = torch.nonzero(latents.measured).flatten()
    rows = measured[first_of_each_class(latents.labels[measured], config.evaluation.explained_images)]
    ids, styles = [latents.ids[row] for row in rows.tolist()], latents.style_vector(rows).to(device)
    targets = runners_up(explainer.logits_of(styles))
    target_names = [latents.class_names[target] for target in targets.tolist()]
    steps = config.evaluation.explanation_steps
    origin = provenance(config.digest(), config.seed, device) | {
        "shift": str(options.shift),
        "precision": format_name(explainer.dtype),
        "attributes": f"at most {steps} for each of {len(ids)} images",
        # Also of images that nothing turns, which have no row.
        **{f"{IMAGES_TOWARDS} {name}": str(target_names.count(name)) for name in latents.class_names},
    }
    files = {Method.INDEPENDENT: paths.independent, Method.SUBSET: paths.subset}
    with progress(f"explain {name}", len(files) * len(ids)) as counter:
        alone = explainer.moved_alone(styles, targets)
        for method, path in files.items():
            found = explainer.explain(styles, targets, method, steps, alone=alone)
            write_table(path, table(ids, target_names, found), origin)
            counter.advance(len(ids))


def table(ids: Sequence[str], target_names: Sequence[str], found: Sequence[Sequence[Step]]) -> pandas.DataFrame:
    """Return the steps of all images, one row per step."""
    rows = [
        {"id": identity, "target_class": target} | step.record()
        for identity, target, steps in zip(ids, target_names, found, strict=True)
        for step in steps
    ]
    return pandas.DataFrame(rows, columns=list(COLUMNS))
