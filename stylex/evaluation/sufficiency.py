"""Sufficiency ([L] 4.2.3, Table 3): the fraction of images whose decision flips when the top attributes are applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas
import torch
from torch import Tensor

from stylex.artifacts import provenance, write_table
from stylex.attfind.records import Attribute, read_attributes
from stylex.classifiers import Classifier, load_classifier
from stylex.config import ExperimentConfig, experiment_paths, load_experiment
from stylex.config.analysis import POOLED
from stylex.evaluation.counterfactuals import apply_attributes, images_to_turn, rendered, target_classes
from stylex.evaluation.intervals import images_interval
from stylex.latents.table import Latents, read_latents
from stylex.networks.model import load_stylex
from stylex.networks.synthesis import Synthesis
from stylex.progress import progress

COLUMNS = (
    "experiment", "domain", "method", "protocol", "target_class", "k", "shift", "n", "flipped", "fraction", "low",
    "high", "seed", "published",
)  # fmt: skip


def sufficiency(root: Path, name: str, device: str) -> None:
    """Write sufficiency.csv and flips.csv of the experiment.

    sufficiency.csv: a row for each method, protocol, k and target class, and `POOLED`, all classes together. Methods:
    AttFind, and without classifier-specific training the selection of Wu et al. too. flips.csv: a row for each method,
    protocol and image.
    """
    config, paths = load_experiment(root, name), experiment_paths(root, name)
    analysed, options = read_latents(paths.latents), config.attfind
    synthesis = load_stylex(paths.stylex_model, device).synthesis
    classifier = load_classifier(paths.classifier.model, device)
    targets = target_classes(analysed, options.against)
    lists = [
        (method, protocol, path)
        for protocol in options.protocols
        for method, path in paths.under(protocol, options.protocol).attribute_lists(config.method).items()
    ]
    rows: list[dict[str, object]] = []
    flips: list[pandas.DataFrame] = []
    with progress(f"sufficiency {name}", len(lists) * len(targets), "lists of attributes") as counter:
        for method, protocol, path in lists:
            attributes, latents = read_attributes(path), analysed.under(protocol)
            first: dict[str, dict[str, int]] = {}
            for target in targets:
                found, images = attributes.get(target, []), images_to_turn(latents, target, options.against)
                steps = first_flips(synthesis, classifier, latents, images, found, target, config)
                first[target] = dict(zip([latents.ids[row] for row in images], steps.tolist(), strict=True))
                flips.append(flips_frame(method, protocol, target, first[target]))
                counter.advance(1)
            rows += sufficiency_rows(name, config, method, protocol, first)
    origin = provenance(config.digest(), config.seed, device)
    write_table(paths.flips, pandas.concat(flips, ignore_index=True), origin)
    write_table(paths.sufficiency, pandas.DataFrame(rows, columns=list(COLUMNS)), origin)


def first_flips(
    synthesis: Synthesis,
    classifier: Classifier,
    latents: Latents,
    images: Tensor,
    attributes: Sequence[Attribute],
    target: str,
    config: ExperimentConfig,
) -> Tensor:
    """Return after how many attributes each image first becomes `target`, [n] int64; 0: after none.

    images [n] int64: rows of `latents`, none of them decided as the target. Attributes are moved cumulatively.
    """
    first, left = torch.zeros_like(images), torch.arange(len(images))
    for k in range(1, len(attributes) + 1):
        if not len(left):
            break
        styles = apply_attributes(latents, images[left], attributes[:k], config.attfind.shift)
        batches = rendered(synthesis, styles, config.evaluation.batch_size)
        decisions = torch.cat([classifier(batch).argmax(dim=1).cpu() for batch in batches])
        flipped = decisions == latents.class_names.index(target)
        first[left[flipped]] = k
        left = left[~flipped]
    return first


def flips_frame(method: str, protocol: str, target: str, first: Mapping[str, int]) -> pandas.DataFrame:
    """Return rows of flips.csv; `first` by image, as `first_flips` gives it. Never flipped: empty."""
    first_k = pandas.array([k or None for k in first.values()], "Int64")
    common = {"method": method, "protocol": protocol, "target_class": target}
    return pandas.DataFrame({"id": list(first), **common, "first_k": first_k})


def sufficiency_rows(
    name: str, config: ExperimentConfig, method: str, protocol: str, first: Mapping[str, Mapping[str, int]]
) -> list[dict[str, object]]:
    """Return one method's rows of sufficiency.csv by a protocol; `first` by target class and image, 0: never.

    When fewer than k attributes were found, the row of k applies those that were. The pooled row counts an image once
    for each of its targets.
    """
    common = {
        "experiment": name,
        "domain": config.domain,
        "method": method,
        "protocol": protocol,
        "shift": config.attfind.shift,
        "seed": config.seed,
        "published": None,
    }
    rows = []
    for k in config.evaluation.sufficiency_k:
        within = {target: {image: 0 < step <= k for image, step in steps.items()} for target, steps in first.items()}
        for target, parts in [*((target, [part]) for target, part in within.items()), (POOLED, [*within.values()])]:
            flipped, n = sum(sum(part.values()) for part in parts), sum(map(len, parts))
            low, high = images_interval(parts, config.seed)
            fraction = flipped / n if n else None
            measured = {"target_class": target, "k": k, "n": n, "flipped": flipped, "fraction": fraction}
            rows.append(common | measured | {"low": low, "high": high})
    return rows
