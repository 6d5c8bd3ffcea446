"""What attributes after the first are worth: the same measured with random coordinates and directions in their place.

Not in the papers. [L] 4.2 says that attributes have a cumulative effect. An image counts as flipped when it becomes the
target at any k, so any list of moves flips some of the images that its first one leaves; only lists that chance made
show whether the attributes that AttFind ranks second to tenth flip more of them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas
import torch

from stylex.artifacts import provenance, write_table
from stylex.attfind.records import Attribute, Direction, read_attributes
from stylex.classifiers import load_classifier
from stylex.config import experiment_paths, load_experiment
from stylex.config.analysis import TOP
from stylex.evaluation.counterfactuals import images_to_turn, target_classes
from stylex.evaluation.sufficiency import first_flips
from stylex.latents.table import read_latents
from stylex.networks.model import load_stylex
from stylex.networks.stylespace import StyleSpaceLayout
from stylex.progress import progress

COLUMNS = ("id", "target_class", "draw", "first_k")


def random_flips(root: Path, name: str, device: str) -> None:
    """Write random_flips.csv: for each image that the first attribute leaves, and each draw, where the list flips it.

    By the main protocol. first_k counts the first attribute: from 2 on; empty: never. The lists are as long as
    AttFind's, at most ten, and drawn from the experiment's seed.
    """
    config, paths = load_experiment(root, name), experiment_paths(root, name)
    latents, attributes = read_latents(paths.latents).under(config.attfind.protocol), read_attributes(paths.attributes)
    synthesis = load_stylex(paths.stylex_model, device).synthesis
    classifier = load_classifier(paths.classifier.model, device)
    generator, draws = torch.Generator().manual_seed(config.seed), config.evaluation.random_lists
    targets = [target for target in target_classes(latents, config.attfind.against) if attributes.get(target)]
    rows: list[dict[str, object]] = []
    with progress(f"random lists {name}", len(targets) * draws, "lists of moves") as counter:
        for target in targets:
            found, images = attributes[target][:TOP], images_to_turn(latents, target, config.attfind.against)
            flips = first_flips(synthesis, classifier, latents, images, found[:1], target, config)
            left = images[flips == 0]
            for draw in range(1, draws + 1):
                moves = random_list(found[0], len(found), synthesis.layout, generator)
                first = first_flips(synthesis, classifier, latents, left, moves, target, config)
                rows += [
                    {"id": latents.ids[row], "target_class": target, "draw": draw, "first_k": k or None}
                    for row, k in zip(left.tolist(), first.tolist(), strict=True)
                ]
                counter.advance(1)
    frame = pandas.DataFrame(rows, columns=list(COLUMNS)).astype({"first_k": "Int64"})
    write_table(paths.random_flips, frame, provenance(config.digest(), config.seed, device))


def random_list(first: Attribute, length: int, layout: StyleSpaceLayout, generator: torch.Generator) -> list[Attribute]:
    """Return `first`, then moves of other coordinates, each once, drawn uniformly like their directions."""
    others = distinct_moves(first.target_class, length - 1, layout, generator, first.style_index)
    return [first, *(replace(move, rank=move.rank + 1) for move in others)]


def distinct_moves(
    target: str, length: int, layout: StyleSpaceLayout, generator: torch.Generator, without: int | None = None
) -> list[Attribute]:
    """Return moves of coordinates other than `without`, each once, drawn uniformly like their directions."""
    drawn = torch.randperm(layout.size, generator=generator).tolist()
    coordinates = [index for index in drawn if index != without][:length]
    directions = torch.randint(2, (len(coordinates),), generator=generator).tolist()
    return [
        Attribute(target, rank, index, *layout.locate(index), Direction(direction), 0.0, 0)
        for rank, (index, direction) in enumerate(zip(coordinates, directions, strict=True), start=1)
    ]
