"""Sufficiency ([L] 4.2.3, Table 3): the fraction of images whose decision flips when the top attributes are applied.

Beside it, random lists, which are not in the papers. [L] 4.2 says that attributes have a cumulative effect. An image
counts as flipped when it becomes the target at any k, so any list of moves flips some of the images that its first one
leaves. Only random lists show whether the attributes that AttFind ranks second to tenth flip more of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from stylex.attfind.records import Attribute, read_attributes
from stylex.config import ExperimentConfig
from stylex.config.base import POOLED, TOP
from stylex.evaluation.counterfactuals import Run, random_moves, ranked
from stylex.evaluation.intervals import fraction_columns
from stylex.latents.table import Latents
from stylex.networks.stylespace import StyleSpaceLayout
from stylex.progress import progress

COLUMNS = (
    "experiment", "domain", "method", "protocol", "target_class", "k", "shift", "n", "flipped", "fraction", "low",
    "high", "seed", "published",
)  # fmt: skip
WHOLE = {"first_k": "Int64"}  # or empty: never


def sufficiency(root: Path, name: str, device: str) -> None:
    """Write sufficiency.csv and flips.csv of the experiment.

    sufficiency.csv: one row for each method, protocol, k and target class, and for `POOLED`, all classes together.
    Methods: AttFind, and without classifier-specific training the selection of Wu et al. too. flips.csv: one row for
    each method, protocol and image; first_k is empty if it never flips.
    """
    run = Run.load(root, name, device)
    protocols = run.config.attfind.protocols
    lists = [(*each, protocol) for protocol in protocols for each in run.attribute_files(protocol).items()]
    rows: list[dict[str, object]] = []
    flips: list[dict[str, object]] = []
    with progress(f"sufficiency {name}", len(lists) * len(run.targets), "lists of attributes") as counter:
        for method, path, protocol in lists:
            attributes, latents = read_attributes(path), run.latents.under(protocol)
            first: dict[str, dict[str, int]] = {}
            for target in run.targets:
                images = run.images_to_turn(latents, target)
                steps = first_flips(run, latents, images, attributes.get(target, []), target).tolist()
                first[target] = dict(zip([latents.ids[row] for row in images], steps, strict=True))
                common = {"method": method, "protocol": protocol, "target_class": target}
                flips += [{"id": image, **common, "first_k": k or None} for image, k in first[target].items()]
                counter.advance(1)
            rows += sufficiency_rows(name, run.config, method, protocol, first)
    run.write(run.paths.flips, flips, ("id", "method", "protocol", "target_class", "first_k"), types=WHOLE)
    run.write(run.paths.sufficiency, rows, COLUMNS)


def first_flips(run: Run, latents: Latents, images: Tensor, attributes: Sequence[Attribute], target: str) -> Tensor:
    """Return after how many attributes, moved cumulatively, each image first becomes `target`, [n] int64; 0: never.

    images [n] int64: rows of `latents`, none of them decided as the target.
    """
    first, left = torch.zeros_like(images), torch.arange(len(images))
    for k in range(1, len(attributes) + 1):
        if not len(left):
            break
        batches = run.rendered(run.moved(latents, images[left], attributes[:k]))
        decisions = torch.cat([run.classifier(batch).argmax(dim=1).cpu() for batch in batches])
        flipped = decisions == latents.class_names.index(target)
        first[left[flipped]] = k
        left = left[~flipped]
    return first


def sufficiency_rows(
    name: str, config: ExperimentConfig, method: str, protocol: str, first: Mapping[str, Mapping[str, int]]
) -> list[dict[str, object]]:
    """Return one method's rows of sufficiency.csv by a protocol; `first` by target class and image, 0: never.

    When fewer than k attributes were found, the row of k applies those that were. The pooled row counts an image once
    for each of its targets.
    """
    common = {"experiment": name, "domain": config.domain, "method": method, "protocol": protocol}
    common |= {"shift": config.attfind.shift, "seed": config.seed, "published": None}
    rows = []
    for k in config.evaluation.sufficiency_k:
        within = {target: {image: 0 < step <= k for image, step in steps.items()} for target, steps in first.items()}
        for target, parts in [*((target, [part]) for target, part in within.items()), (POOLED, [*within.values()])]:
            measured = fraction_columns(parts, config.seed, "flipped", ("fraction", "low", "high"))
            rows.append(common | {"target_class": target, "k": k, "n": sum(map(len, parts))} | measured)
    return rows


def random_flips(root: Path, name: str, device: str) -> None:
    """Write random_flips.csv: for each image that the first attribute leaves, and each draw, where the list flips it.

    By the main protocol. first_k counts the first attribute: from 2 on; empty: never. The lists are as long as
    AttFind's, at most ten, and drawn from the experiment's seed.
    """
    run = Run.load(root, name, device)
    latents, attributes, layout = run.latents, read_attributes(run.paths.attributes), run.networks.synthesis.layout
    generator, draws = torch.Generator().manual_seed(run.config.seed), run.config.evaluation.random_lists
    targets = [target for target in run.targets if attributes.get(target)]
    rows: list[dict[str, object]] = []
    with progress(f"random lists {name}", len(targets) * draws, "lists of moves") as counter:
        for target in targets:
            found, images = attributes[target][:TOP], run.images_to_turn(latents, target)
            left = images[first_flips(run, latents, images, found[:1], target) == 0]
            for draw in range(1, draws + 1):
                moves = random_list(found[0], len(found), layout, generator)
                first = first_flips(run, latents, left, moves, target)
                rows += [
                    {"id": latents.ids[row], "target_class": target, "draw": draw, "first_k": k or None}
                    for row, k in zip(left.tolist(), first.tolist(), strict=True)
                ]
                counter.advance(1)
    run.write(run.paths.random_flips, rows, ("id", "target_class", "draw", "first_k"), types=WHOLE)


def random_list(first: Attribute, length: int, layout: StyleSpaceLayout, generator: torch.Generator) -> list[Attribute]:
    """Return `first`, then moves of other coordinates, each once, drawn uniformly like their directions."""
    moves = random_moves(layout, length - 1, generator, without=first.style_index)
    return [first, *ranked(first.target_class, moves, layout, first_rank=2)]
