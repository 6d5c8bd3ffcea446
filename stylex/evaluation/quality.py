"""Do counterfactuals look like the class that they are turned into: what a flip alone does not say.

Of every method, protocol and target class: how many images flip (validity), what an oracle says that they show, how far
they are from the dataset's images of the class, and what was changed (COUT, proximity, sparsity, diversity). All
methods begin at the reconstruction; an image that never flips counts in its last state, but for the distances.

Proximity: the mean |x' - x| of pixels in [-1, 1], and the perceptual distance; x is the reconstruction.

COUT, the counterfactual transition score (Khorram and Fuxin 2022; as Jeanneret et al. 2023, ACE, compute it): pixels of
x are exchanged for those of x', the most changed first, in equal steps. COUT is the area under the probability of the
target class along these steps, less that of the class left: 1 if the first pixels turn a certain decision for good, -1
if nothing is turned. ACE's `eval_utils/cout_metrics.py` takes 50 steps.

Distances: Fréchet and KID of features. The Fréchet distance of as many reconstructions of that class stands beside it,
for it is biased in n and no reconstruction is perfect. On disjoint halves, as Jeanneret et al. do (sFID): the images of
one half of the data against the counterfactuals of the other, both ways, mean; so no image is compared with its own
counterfactual.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from stylex.artifacts import sha256
from stylex.classifiers import Oracle, perceptual_distance
from stylex.classifiers.metrics import NEITHER, matched
from stylex.config import ExperimentConfig, backbone_paths, oracle_paths
from stylex.config.base import POOLED
from stylex.datasets import load_split
from stylex.distances import frechet_distance, kernel_distance, moments
from stylex.evaluation.counterfactuals import Run
from stylex.evaluation.frechet import Extractor, load_extractors
from stylex.evaluation.intervals import fraction_columns
from stylex.evaluation.maps import change_ranks, pixel_change
from stylex.evaluation.methods import Counterfactuals, Turn, methods
from stylex.latents.table import Latents
from stylex.progress import progress

DISTANCES = ("frechet_distance", "frechet_reconstructions", "frechet_halves", "kid", "kid_sd")
MEANS = ("cout", "l1", "perceptual", "diversity")
SUMMARY_COLUMNS = (
    "experiment", "domain", "method", "protocol", "target_class", "n", "images", "flipped", "validity", "validity_low",
    "validity_high", "agreed", "agreement", "agreement_low", "agreement_high", "neither", "extractor", "n_real",
    "n_compared", *DISTANCES[:2], "frechet_ratio", *DISTANCES[2:], *MEANS, "sparsity", "shift", "seed",
)  # fmt: skip
IMAGE_COLUMNS = (
    "id", "method", "protocol", "target_class", "draw", "first_k", "flipped", "oracle", "agreed", "neither", "l1",
    "perceptual", "cout_target", "cout_source", "cout", "diversity",
)  # fmt: skip
COUT_STEPS = 16  # divides the pixels of every image here, whose sides are powers of two
FEWEST = 10  # images of which a distance is taken
Records: TypeAlias = Sequence[Mapping[str, Any]]


class Features(NamedTuple):
    """Features of n images."""

    ids: list[str]
    values: Tensor  # [n, D] float64


def counterfactuals(root: Path, name: str, device: str) -> None:
    """Write counterfactual_images.csv, one row per image, and counterfactuals.csv, one row per method and class.

    Raises `ArtifactError` when the oracle is what is explained, or what the loss has seen.
    """
    run, images, rows = Run.load(root, name, device), list[dict[str, Any]](), list[dict[str, Any]]()
    config, extractor = run.config, load_extractors(root, run.config, device)[0]
    files = {"classifier": run.paths.classifier.model}
    files["backbone"] = backbone_paths(root, config.stylex.perceptual_backbone).model
    if config.evaluation.oracle is not None:
        files["oracle"] = oracle_paths(root, config.evaluation.oracle).model
    evaluator = Evaluator(run, run.oracle, extractor)
    real = evaluator.real_features(root)
    protocols = [run.latents.under(protocol) for protocol in config.attfind.protocols]
    turns = [(latents, methods(run, latents)) for latents in protocols]
    with progress(f"counterfactuals {name}", sum(len(each) for _, each in turns), "methods") as counter:
        for latents, of_protocol in turns:
            rebuilt = evaluator.rebuilt_features(latents)
            for method, turn in of_protocol.items():
                records, apart = evaluator.measured(latents, turn, real, rebuilt)
                common = {"experiment": name, "method": method, "protocol": latents.protocol}
                images += [record | common for part in records.values() for record in part]
                rows += [common | row for row in summaries(records, apart, config)]
                counter.advance(1)
    origin = {f"{role}_sha256": sha256(path) for role, path in files.items()} | extractor.origin
    run.write(run.paths.counterfactual_images, images, IMAGE_COLUMNS, origin)
    run.write(run.paths.counterfactuals, rows, SUMMARY_COLUMNS, origin)


@dataclass(frozen=True)
class Evaluator:
    """The networks that measure counterfactuals."""

    run: Run
    oracle: Oracle | None
    extractor: Extractor

    def real_features(self, root: Path) -> dict[str, Features]:
        """Return the features of the dataset's images of each target class, evenly spaced where there are too many."""
        config, found = self.run.config, {}
        split, most = load_split(root, config.dataset, config.attfind.split), config.evaluation.counterfactual_reals
        for target in self.run.targets:
            rows = torch.nonzero(split.labels == split.class_names.index(target)).flatten()
            count = min(most, len(rows))
            rows = rows[torch.arange(count) * len(rows) // max(count, 1)]
            batches = (split.images(part) for part in rows.split(config.evaluation.batch_size))
            found[target] = self.features(batches, [split.ids[row] for row in rows.tolist()])
        return found

    def rebuilt_features(self, latents: Latents) -> dict[str, Features]:
        """Return the features of the measured reconstructions that are decided as each target class."""
        decisions, found = latents.reconstruction_logits.argmax(dim=1), {}
        for target in self.run.targets:
            rows = torch.nonzero(latents.measured & (decisions == latents.class_names.index(target))).flatten()
            images = self.run.images(latents.style_vector(rows))
            found[target] = self.features(self._batches(images), [latents.ids[row] for row in rows.tolist()])
        return found

    def features(self, batches: Iterable[Tensor], ids: list[str]) -> Features:
        """Return the features of images that come in batches [N, C, H, W] in [-1, 1]; ids: of all of them."""
        parts = [self.extractor.features(images) for images in batches if len(images)]
        return Features(ids, torch.cat(parts) if parts else torch.zeros(0, 1, dtype=torch.float64))

    def measured(
        self, latents: Latents, turn: Turn, real: Mapping[str, Features], rebuilt: Mapping[str, Features]
    ) -> tuple[dict[str, list[dict[str, Any]]], dict[str, dict[str, Any]]]:
        """Return what is measured on each image, and the distances of the flipped ones, by class that it can reach."""
        records: dict[str, list[dict[str, Any]]] = {}
        apart: dict[str, dict[str, Any]] = {}
        for target, images in real.items():
            rows = self.run.images_to_turn(latents, target)
            nothing = Counterfactuals(rows, self.run.images(latents.style_vector(rows[:0])))
            draws = turn(rows, target) if len(rows) else [nothing]
            if not draws:
                continue
            parts = [self.records(latents, found, target, draw) for draw, found in enumerate(draws)]
            flipped = [torch.tensor([record["flipped"] for record in part], dtype=torch.bool) for part in parts]
            records[target] = [record for part in parts for record in part]
            turned = torch.cat([found.images[chosen] for found, chosen in zip(draws, flipped, strict=True)])
            ids = [record["id"] for record in records[target] if record["flipped"]]
            features = self.features(self._batches(turned), ids)
            apart[target] = {"extractor": self.extractor.name, "n_real": len(images.ids)}
            apart[target] |= distances(images, rebuilt[target], features, self.run.config.seed)
        return records, apart

    def records(self, latents: Latents, found: Counterfactuals, target: str, draw: int) -> list[dict[str, Any]]:
        """Return what is measured on each image, by column of counterfactual_images.csv."""
        count, label = len(found.rows), latents.class_names.index(target)
        source = latents.reconstruction_logits[found.rows].argmax(dim=1)
        before = self.run.images(latents.style_vector(found.rows))
        batches = self._batches(torch.arange(count)) if count else ()
        parts = [self._measure(before[rows], found.images[rows], source[rows], label) for rows in batches]
        measured = {key: torch.cat([part[key] for part in parts]).tolist() for key in (parts[0] if parts else ())}
        measured |= self._answers(measured.pop("answer", []), latents.class_names, label)
        moves = [None] * count if found.moves is None else found.moves.tolist()
        diversity = [None] * count if found.diversity is None else found.diversity.tolist()
        return [
            {"id": latents.ids[row], "target_class": target, "draw": draw, "diversity": diversity[place]}
            | {"first_k": (moves[place] or None) if measured["flipped"][place] else None}
            | {key: values[place] for key, values in measured.items()}
            for place, row in enumerate(found.rows.tolist())
        ]

    @torch.inference_mode()
    def _measure(self, before: Tensor, after: Tensor, source: Tensor, label: int) -> dict[str, Tensor]:
        """Measure a batch of images [n, C, H, W]; source [n]: the classes that they leave."""
        before, after = before.to(self.run.device), after.to(self.run.device)
        areas = transition_areas(self.run.classifier, before, after).cpu()
        left = areas.gather(1, source[:, None])[:, 0]
        features = (self.run.perceptual.features(images) for images in (before, after))
        measured = {
            "flipped": self.run.classifier(after).argmax(dim=1).cpu() == label,
            "l1": (after - before).abs().mean((1, 2, 3)).cpu(),
            "perceptual": perceptual_distance(*features).cpu(),
            "cout_target": areas[:, label],
            "cout_source": left,
            "cout": areas[:, label] - left,
        }
        return measured | ({} if self.oracle is None else {"answer": self.oracle(after).argmax(dim=1).cpu()})

    def _answers(self, answers: list[int], class_names: tuple[str, ...], label: int) -> dict[str, list[Any]]:
        """Return the oracle's answers by its own names, and what they are to the experiment."""
        if self.oracle is None:
            return {}
        known = self.oracle.class_names
        classes = matched(known, class_names, self.run.config.dataset.one_vs_rest).tolist()
        return {
            "oracle": [known[answer] for answer in answers],
            "agreed": [classes[answer] == label for answer in answers],
            "neither": [classes[answer] == NEITHER for answer in answers],
        }

    def _batches(self, rows: Tensor) -> tuple[Tensor, ...]:
        return rows.split(self.run.config.evaluation.batch_size)


@torch.inference_mode()
def transition_areas(
    classifier: Callable[[Tensor], Tensor], before: Tensor, after: Tensor, steps: int = COUT_STEPS
) -> Tensor:
    """Return the area under each class's probability from x to x', [N, classes] in [0, 1], by the trapezoidal rule.

    before, after [N, C, H, W], on the classifier's device; classifier: gives logits [N, classes]. Pixels are exchanged
    by the size of their change; to scale it to [0, 1], as the sources do, changes no rank.
    """
    ranks, (height, width) = change_ranks(pixel_change(before, after)), before.shape[2:]
    curve = []
    for step in range(steps + 1):
        exchanged = (ranks < step * height * width / steps).view(-1, 1, height, width)
        curve.append(classifier(torch.where(exchanged, after, before)).softmax(dim=1))
    probabilities = torch.stack(curve)
    return ((probabilities[1:] + probabilities[:-1]) / 2).mean(dim=0)


def distances(real: Features, rebuilt: Features, turned: Features, seed: int) -> dict[str, float | int | None]:
    """Return the columns of distances of counterfactuals.csv.

    real: the dataset's images of a class; rebuilt: reconstructions of that class; turned: images flipped to it. As many
    of the last two, drawn by `seed`, are compared; all are None where these are fewer than `FEWEST`.
    """
    count, generator = min(len(rebuilt.ids), len(turned.ids)), torch.Generator().manual_seed(seed)
    if count < FEWEST or len(real.ids) < FEWEST:
        return {"n_compared": 0, "frechet_ratio": None, **dict.fromkeys(DISTANCES)}
    ours, theirs = (f.values[torch.randperm(len(f.ids), generator=generator)[:count]] for f in (turned, rebuilt))
    far, near = (_frechet(real.values, values) for values in (ours, theirs))
    kid, kid_sd = kernel_distance(real.values, ours, torch.Generator().manual_seed(seed))
    halves = frechet_of_halves(real, turned)
    values = dict(zip(DISTANCES, (far, near, halves, kid, kid_sd), strict=True))
    return {"n_compared": count, "frechet_ratio": far / near, **values}


def frechet_of_halves(real: Features, turned: Features) -> float | None:
    """Return the mean Fréchet distance of one half of the data to counterfactuals of the other; None for too few."""
    ours, theirs = (in_first_half(each.ids) for each in (real, turned))
    if any(min(int(half.sum()), int((~half).sum())) < FEWEST for half in (ours, theirs)):
        return None
    pairs = [(real.values[ours], turned.values[~theirs]), (real.values[~ours], turned.values[theirs])]
    return sum(_frechet(*pair) for pair in pairs) / len(pairs)


def _frechet(a: Tensor, b: Tensor) -> float:
    return frechet_distance(*moments(a), *moments(b))


def in_first_half(ids: Sequence[str]) -> Tensor:
    """Return which images are of the first half of the data, [n] bool, by a hash of their ids."""
    return torch.tensor([hashlib.sha256(each.encode()).digest()[-1] % 2 == 0 for each in ids], dtype=torch.bool)


def summaries(
    found: Mapping[str, Records], apart: Mapping[str, dict[str, Any]], config: ExperimentConfig
) -> list[dict[str, Any]]:
    """Return the row of each target class, and that of `POOLED`, for a method and protocol; none without a target.

    found: what was measured on each image; apart: the distances of the flipped ones; both by target class.
    """
    common = {"domain": config.domain, "shift": config.attfind.shift, "seed": config.seed}
    rows = [
        common | {"target_class": target} | of_images([records], config.seed) | apart[target]
        for target, records in found.items()
    ]
    if not rows:
        return []
    pooled = of_images(list(found.values()), config.seed) | mean_distances(list(apart.values()))
    return [*rows, common | {"target_class": POOLED} | pooled]


def of_images(parts: Sequence[Records], seed: int) -> dict[str, Any]:
    """Return the measured columns; parts: the records of each target class.

    `agreement` is the fraction of all images that flip and that the oracle gives to the target class. Intervals
    resample images, each with all of its targets and draws.
    """
    records = [record for part in parts for record in part]
    draws = [[r for r in part if r["draw"] == draw] for part in parts for draw in sorted({r["draw"] for r in part})]
    row: dict[str, Any] = {"n": len(records), "images": len({record["id"] for record in records})}
    fractions: dict[str, tuple[str, tuple[str, ...]]] = {"flipped": ("validity", ("flipped",))}
    if any("agreed" in record for record in records):
        fractions["agreed"] = ("agreement", ("flipped", "agreed"))
        row["neither"] = mean([record["neither"] for record in records])
    for count, (name, keys) in fractions.items():
        answers = [{record["id"]: all(record[key] for key in keys) for record in draw} for draw in draws]
        row |= fraction_columns(answers, seed, count, (name, f"{name}_low", f"{name}_high"))
    row |= {key: mean([record[key] for record in records]) for key in MEANS}
    return row | {"sparsity": mean([record["first_k"] for record in records if record["flipped"]])}


def mean_distances(apart: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the distances of all target classes together: means, None where one class has none.

    Those of the images of several classes together would hide the ones that look like the class they come from.
    """
    counts = {key: sum(each[key] for each in apart) for key in ("n_real", "n_compared")}
    values = {key: [each[key] for each in apart] for key in DISTANCES}
    means = {key: None if None in each else mean(each) for key, each in values.items()}
    far, near = means["frechet_distance"], means["frechet_reconstructions"]
    ratio = far / near if far is not None and near is not None else None
    return counts | means | {"frechet_ratio": ratio, "extractor": apart[0]["extractor"]}


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that there are; None of none."""
    known = [float(value) for value in values if value is not None and not isnan(value)]
    return sum(known) / len(known) if known else None
