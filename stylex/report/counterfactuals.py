"""The table of counterfactuals: whether flipped images look like the class that they are flipped to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas

from stylex.artifacts import read_table
from stylex.config import ExperimentConfig, ExperimentPaths
from stylex.config.analysis import INCEPTION, POOLED
from stylex.protocols import Protocol
from stylex.report.published import LABELS, PROTOCOLS, direction
from stylex.report.table import NOTHING, Block, Table, concatenated, interval, percent

COLUMNS = (
    "experiment", "domain", "method", "protocol", "target_class", "n", "images", "flipped", "validity", "validity_low",
    "validity_high", "agreed", "agreement", "agreement_low", "agreement_high", "neither", "extractor", "n_real",
    "n_compared", "frechet_distance", "frechet_reconstructions", "frechet_ratio", "frechet_halves", "kid", "kid_sd",
    "cout", "l1", "perceptual", "diversity", "sparsity", "shift", "seed",
)  # fmt: skip
OTHERS = {
    "subset": "of the very image, subset",
    "independent": "of the very image, one alone",
    "latent": "descent in W (Latent-CF)",
    "ganalyze": "one direction (GANalyze)",
    "condition": "condition of the other class",
    "pixel": "adversarial pixels",
}
WORDS = ("Experiment", "Method", "Towards")


def counterfactuals_table(root: Path, experiments: Mapping[str, ExperimentConfig]) -> Table:
    """Build the table from each experiment's counterfactuals.csv."""
    data = concatenated([read_table(ExperimentPaths(root, name).counterfactuals) for name in experiments], COLUMNS)
    blocks = [
        _block(f"{_caption(set(data['extractor']))} Protocol: {PROTOCOLS[Protocol(str(protocol))]}.", part)
        for protocol, part in data.loc[data["target_class"] == POOLED].groupby("protocol", sort=False)
    ]
    own = [
        row["target_class"] != POOLED
        and row["method"] == experiments[row["experiment"]].method
        and row["protocol"] == experiments[row["experiment"]].attfind.protocol
        for row in data.to_dict("records")
    ]
    blocks.append(_block("The same of AttFind's list, by target class and the main protocol.", data.loc[own]))
    return Table("counterfactuals", "Do counterfactuals look like the other class", data, tuple(blocks))


def _block(caption: str, data: pandas.DataFrame) -> Block:
    frame = pandas.DataFrame([_line(row) for row in data.to_dict("records")])
    return Block(caption, frame, tuple(name for name in frame.columns if name not in WORDS))


def _line(row: Mapping[Any, Any]) -> dict[str, object]:
    """Return the cells of a row, the oracle's agreement and the distances side by side."""
    method = str(row["method"])
    return {
        "Experiment": row["experiment"],
        "Method": (LABELS | OTHERS)[method],
        "Towards": direction(row["target_class"]),
        "n": row["n"],
        "Flipped, %": _share(row, "validity"),
        "Agreed, %": _share(row, "agreement"),
        "Neither, %": percent(row["neither"]),
        "Fréchet": _number(row["frechet_distance"], 1),
        "of reconstructions": _number(row["frechet_reconstructions"], 1),
        "Ratio": _number(row["frechet_ratio"], 1),
        "n compared": row["n_compared"],
        "Halves": _number(row["frechet_halves"], 1),
        "KID × 1000": _number(row["kid"], 1, 1000),
        "COUT": _number(row["cout"], 2),
        "L1": _number(row["l1"], 3),
        "Perceptual": _number(row["perceptual"], 3),
        "Moves": _number(row["sparsity"], 1),
        "Diversity": _number(row["diversity"], 3),
    }


def _share(row: Mapping[Any, Any], name: str) -> str:
    return interval({"fraction": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]})


def _number(value: float, digits: int, scale: float = 1) -> str:
    return NOTHING if pandas.isna(value) else f"{scale * value:.{digits}f}"


def _caption(extractors: set[str]) -> str:
    name = (
        "FID" if extractors == {INCEPTION} else f"Fréchet distance in the features of {', '.join(sorted(extractors))}"
    )
    return (
        "This run: what images look like that were moved until the classifier's decision flips. Read agreement and"
        " distance together, never one alone: an adversarial change can leave the distance small and no oracle agrees,"
        " and an oracle may agree to blobs that are far from any image. Flipped: of n images, random moves counting an"
        " image once a list. Agreed: of all n, those that flip and that an oracle, a classifier of all classes of the"
        " dataset trained apart, gives to the target class; neither: it gives them to a class that is none of the"
        f" experiment's. Both with 95 % intervals that resample images. Fréchet: {name} of the flipped to the dataset's"
        " images of the target class, beside that of as many reconstructions of this class, and the ratio of the two;"
        " halves: between disjoint halves of the data, both ways (as sFID); all directions: means over the classes,"
        " none where one has too few flipped images. COUT (Khorram and Fuxin 2022) in [-1, 1]: high where few pixels"
        " turn the decision. L1 and perceptual: distance from the reconstruction. Moves: attributes until the flip, of"
        " the flipped. Diversity: perceptual distance between explanations of an image that share no coordinate."
        " Random moves are what chance does, adversarial pixels what flipping without meaning costs."
    )
