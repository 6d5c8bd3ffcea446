"""Do counterfactuals look like the class that they are turned into: what a flip alone does not say.

Of every method, protocol and target class: how many images flip (validity), what an oracle says that they show, how far
they are from the dataset's images of the class, and what was changed (COUT, proximity, sparsity, diversity). All ways
begin at the reconstruction; an image that never flips counts in its last state, but for the distances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas
import torch

from stylex.artifacts import provenance, sha256, write_table
from stylex.classifiers import Oracle, load_classifier, load_oracle, load_perceptual
from stylex.config import (
    ExperimentConfig,
    ExperimentPaths,
    backbone_paths,
    experiment_paths,
    load_experiment,
    oracle_paths,
)
from stylex.datasets import load_split
from stylex.evaluation.counterfactual_summary import SUMMARY_COLUMNS, summaries
from stylex.evaluation.counterfactuals import images_to_turn, target_classes
from stylex.evaluation.extractors import load_extractors
from stylex.evaluation.image_measures import IMAGE_COLUMNS, Judge, Record
from stylex.evaluation.realism import Features, distances
from stylex.evaluation.turning import Model, Turned
from stylex.evaluation.ways import Way, ways
from stylex.latents.table import Latents, read_latents
from stylex.networks.model import load_stylex
from stylex.progress import progress

Found = tuple[dict[str, list[Record]], dict[str, dict[str, Any]]]


def counterfactuals(root: Path, name: str, device: str) -> None:
    """Write the experiment's counterfactual_images.csv, a row an image, and counterfactuals.csv, a row a method."""
    config, paths = load_experiment(root, name), experiment_paths(root, name)
    analysed, extractor = read_latents(paths.latents), load_extractors(root, config, device)[0]
    networks, classifier = load_stylex(paths.stylex_model, device), load_classifier(paths.classifier.model, device)
    model = Model(config, networks, classifier, load_perceptual(root, config.stylex, device), device)
    oracle, files = asked_oracle(root, config, paths, device)
    judge = Judge(model, oracle, extractor)
    real = real_features(root, config, judge, target_classes(analysed, config.attfind.against))
    images: list[Record] = []
    rows: list[dict[str, Any]] = []
    methods = [(analysed.under(each), ways(model, paths, analysed.under(each))) for each in config.attfind.protocols]
    with progress(f"counterfactuals {name}", sum(len(each) for _, each in methods), "methods") as counter:
        for latents, every in methods:
            rebuilt = rebuilt_features(judge, latents, list(real))
            for method, way in every.items():
                found, apart = measured(judge, latents, way, real, rebuilt)
                common = {"experiment": name, "method": method, "protocol": latents.protocol}
                images += [record | common for records in found.values() for record in records]
                rows += [common | row for row in summaries(found, apart, config)]
                counter.advance(1)
    origin = provenance(config.digest(), config.seed, device) | files | extractor.origin
    write_table(paths.counterfactual_images, pandas.DataFrame(images, columns=list(IMAGE_COLUMNS)), origin)
    write_table(paths.counterfactuals, pandas.DataFrame(rows, columns=list(SUMMARY_COLUMNS)), origin)


def asked_oracle(
    root: Path, config: ExperimentConfig, paths: ExperimentPaths, device: str
) -> tuple[Oracle | None, dict[str, str]]:
    """Load the oracle; return beside it, for the provenance, digests of what is explained, taught the loss, and judges.

    Raises `ArtifactError` when the oracle is one of the others.
    """
    files = {"classifier": paths.classifier.model}
    files["backbone"] = backbone_paths(root, config.stylex.perceptual_backbone).model
    name, oracle = config.evaluation.oracle, None
    if name is not None:
        path = oracle_paths(root, name).model
        oracle = load_oracle(path, list(files.values()), device)
        files["oracle"] = path
    return oracle, {f"{role}_sha256": sha256(path) for role, path in files.items()}


def real_features(root: Path, config: ExperimentConfig, judge: Judge, targets: Sequence[str]) -> dict[str, Features]:
    """Return the features of the dataset's images of each target class, evenly spaced where there are too many."""
    split, most = load_split(root, config.dataset, config.attfind.split), config.evaluation.counterfactual_reals
    found = {}
    for target in targets:
        rows = torch.nonzero(split.labels == split.class_names.index(target)).flatten()
        count = min(most, len(rows))
        rows = rows[torch.arange(count) * len(rows) // max(count, 1)]
        batches = (split.images(part) for part in rows.split(judge.model.batch_size))
        found[target] = judge.features(batches, [split.ids[row] for row in rows.tolist()])
    return found


def rebuilt_features(judge: Judge, latents: Latents, targets: Sequence[str]) -> dict[str, Features]:
    """Return the features of the measured reconstructions that are decided as each target class."""
    decisions, found = latents.reconstruction_logits.argmax(dim=1), {}
    for target in targets:
        rows = torch.nonzero(latents.measured & (decisions == latents.class_names.index(target))).flatten()
        batches = judge.model.images(latents.style_vector(rows)).split(judge.model.batch_size)
        found[target] = judge.features(batches, [latents.ids[row] for row in rows.tolist()])
    return found


def measured(
    judge: Judge, latents: Latents, way: Way, real: Mapping[str, Features], rebuilt: Mapping[str, Features]
) -> Found:
    """Return what is measured on each image and the distances of the flipped ones, by target class with a way to it."""
    found: dict[str, list[Record]] = {}
    apart: dict[str, dict[str, Any]] = {}
    config = judge.model.config
    for target, images in real.items():
        rows = images_to_turn(latents, target, config.attfind.against)
        draws = way(rows, target) if len(rows) else [Turned(rows, judge.model.images(latents.style_vector(rows)))]
        if not draws:
            continue
        records = [judge.records(latents, turned, target, draw) for draw, turned in enumerate(draws)]
        flipped = [torch.tensor([record["flipped"] for record in part], dtype=torch.bool) for part in records]
        found[target] = [record for part in records for record in part]
        turned = torch.cat([each.images[chosen] for each, chosen in zip(draws, flipped, strict=True)])
        ids = [record["id"] for record in found[target] if record["flipped"]]
        features = judge.features(turned.split(judge.model.batch_size), ids)
        apart[target] = {"extractor": judge.extractor.name, "n_real": len(images.ids)}
        apart[target] |= distances(images, rebuilt[target], features, config.seed)
    return found, apart
