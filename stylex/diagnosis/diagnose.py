"""Diagnose a trained model: as a table, and as the lines that `train` ends with."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas

from stylex.artifacts import provenance, write_table
from stylex.classifiers import Classifier, load_classifier
from stylex.config import experiment_paths, load_experiment
from stylex.datasets import ImageSplit, load_split
from stylex.diagnosis.measures import IMAGES, look, measured, validation_images
from stylex.diagnosis.verdicts import Finding, judge, sentences
from stylex.networks.model import StylexNetworks, load_stylex

COLUMNS = ("experiment", "measure", "value", "limit", "verdict", "remedy", "n", "seed")
logger = logging.getLogger("stylex")


def diagnose(
    networks: StylexNetworks, classifier: Classifier, split: ImageSplit, seed: int, device: str
) -> list[Finding]:
    """Return what is found of trained networks on a validation split, what is to be mended first first."""
    images, labels = validation_images(split)
    seen = look(networks, classifier, images.to(device), labels, seed)
    return judge(measured(seen), len(classifier.class_names))


def tell(name: str, findings: list[Finding]) -> None:
    """Log a line for each number of an experiment that has failed, or that it is good."""
    for sentence in sentences(findings):
        logger.info("diagnosis of %s: %s", name, sentence)


def write_diagnosis(root: Path, name: str, device: str) -> None:
    """Write the experiment's diagnosis.csv, a row a measure in the order of repair, and tell it."""
    config, paths = load_experiment(root, name), experiment_paths(root, name)
    networks, classifier = load_stylex(paths.stylex_model, device), load_classifier(paths.classifier.model, device)
    split = load_split(root, config.dataset, "val")
    findings = diagnose(networks, classifier, split, config.seed, device)
    origin = provenance(config.digest(), config.seed, device)
    write_table(paths.diagnosis, table(name, findings, min(IMAGES, len(split)), config.seed), origin)
    tell(name, findings)


def table(name: str, findings: list[Finding], n: int, seed: int) -> pandas.DataFrame:
    """Return a row a finding; n: the images they are of. Where nothing has failed, there is no remedy."""
    rows = [
        (
            name,
            each.measure,
            each.value,
            each.limit,
            each.verdict,
            "" if each.passes else each.criterion.remedy,
            n,
            seed,
        )
        for each in findings
    ]
    return pandas.DataFrame(rows, columns=list(COLUMNS))
