"""`quality-32`: seconds of training until the digits of the demo pass its criteria on validation images.

After: the preset. Before: the options with which the demo trained these digits at first (73db3e1); the step is today's.
Both explain one classifier. A training is judged at its end; one that does not pass is trained on until it has had
`LIMIT` times the seconds of the other.
"""

from __future__ import annotations

from pathlib import Path

import paper_training
import yaml

from stylex.artifacts import read_table
from stylex.attfind.effects import compute_effects
from stylex.attfind.selection import select
from stylex.classifiers import fine_tune, train_backbone, train_oracle
from stylex.config import ExperimentPaths
from stylex.config.base import POOLED
from stylex.diagnosis import write_diagnosis
from stylex.evaluation.baselines import ganalyze
from stylex.evaluation.quality import counterfactuals
from stylex.latents.encode import encode
from stylex.training import train

Measured = dict[str, float | None]  # None: of too few images
Row = dict[str, float | bool | Measured]

LIMIT = 3.2
BEFORE = {
    "conditioning": paper_training.CONDITIONING,
    "networks": {
        **paper_training.NETWORKS,
        "generator_channels": [16, 16, 16, 16],
        "encoder_channels": [64, 64, 64, 32],
        "discriminator_channels": [64, 64, 64, 32],
    },
    "losses": {**paper_training.LOSSES, "r1_gamma": 1.0},
    "training": {**paper_training.TRAINING, "images": 48000},
}
ON_VALIDATION = {"attfind": {"split": "val", "protocols": ["held_out"]}}
# Lowest, or for `distance` highest, values that pass: of all images, and of each direction where the name says so.
CRITERIA = {"flipped": 0.9, "agreed": 0.85, "own_nearest": 0.8, "class_kept": 0.97}
LARGEST = {"distance": 4.0}


def passes(measured: Measured) -> bool:
    """Whether all criteria hold; a value that is missing does not."""
    return all((value := measured[name]) is not None and value >= lowest for name, lowest in CRITERIA.items()) and all(
        (value := measured[name]) is not None and value <= highest for name, highest in LARGEST.items()
    )


def criteria(root: Path, name: str) -> Measured:
    """Measure a trained experiment on validation images; `distance`: of the worst direction."""
    paths = ExperimentPaths(root, name)
    for stage in (write_diagnosis, encode, compute_effects):
        stage(root, name, "cpu")
    select(root, name)
    ganalyze(root, name, "cpu")
    counterfactuals(root, name, "cpu")
    table = read_table(paths.counterfactuals, ("method", "target_class"))
    rows = table[table["method"] == "stylex"].set_index("target_class")
    of_networks = read_table(paths.diagnosis).set_index("measure")["value"]
    return {
        "flipped": float(rows.loc[POOLED, "validity"]),
        "agreed": float(rows.loc[POOLED, "agreement"]),
        "distance": None if rows["frechet_ratio"].isna().any() else float(rows["frechet_ratio"].max()),
        "own_nearest": float(of_networks["own_nearest"]),
        "class_kept": float(of_networks["class_kept"]),
    }


def write_experiments(root: Path) -> None:
    """Write the experiments `after` and `before`, both of mnist with images of the validation split analysed."""
    after = {"extends": "mnist", "title": "After", **ON_VALIDATION}
    before = {"extends": "after", "title": "Before", "classifier_of": "after", "stylex": BEFORE}
    for name, content in {"after": after, "before": before}.items():
        (root / f"config/experiments/{name}.yaml").write_text(yaml.safe_dump(content))


def trained(root: Path, name: str, images: int | None = None) -> tuple[float, Measured]:
    """Train to the end, or on to `images` of them; return the seconds of training so far and what it has come to."""
    path = root / f"config/experiments/{name}.yaml"
    if images is not None:
        content = yaml.safe_load(path.read_text())
        content["stylex"]["training"]["images"] = images
        path.write_text(yaml.safe_dump(content))
    train(root, name, "cpu")
    return float(read_table(ExperimentPaths(root, name).stylex_history)["seconds"].iloc[-1]), criteria(root, name)


def seconds_to_quality(root: Path) -> Row:
    """Train both in a project with the prepared digits; return seconds, whether they pass, and what was measured."""
    write_experiments(root)
    train_backbone(root, "mnist-32", "cpu")
    train_oracle(root, "mnist-32", "cpu")
    fine_tune(root, "after", "cpu")
    after, reached = trained(root, "after")
    before, measured = trained(root, "before")
    if not passes(measured) and before < LIMIT * after:
        images = BEFORE["training"]["images"]
        before, measured = trained(root, "before", round(images * LIMIT * after / before))
    return {
        "after": after, "before": before, "ratio": before / after,
        "after_passes": passes(reached), "before_passes": passes(measured),
        "after_measured": reached, "before_measured": measured,
    }  # fmt: skip


def table(row: Row) -> str:
    """Return the row as Markdown."""
    lines = [
        "| options | seconds of training | flipped | agreed | distance, worst direction | own image nearest"
        " | class kept | passes |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for side in ("before", "after"):
        measured = row[f"{side}_measured"]
        assert isinstance(measured, dict)
        shares = {name: f"{100 * measured[name]:.0f} %" for name in CRITERIA}
        far = "–" if measured["distance"] is None else f"{measured['distance']:.1f}"
        lines.append(
            f"| {side} | {row[side]:.0f} | {shares['flipped']} | {shares['agreed']} | {far}"
            f" | {shares['own_nearest']} | {shares['class_kept']} | {'yes' if row[f'{side}_passes'] else 'no'} |"
        )
    return "\n".join(lines)
