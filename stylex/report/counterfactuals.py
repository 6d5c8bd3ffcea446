"""The table of counterfactuals: whether flipped images look like the class that they are flipped to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
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
DISTANCES = (
    "The same images, by the main protocol: more measures of the field. Halves: the Fréchet distance between disjoint"
    " halves of the data, both ways (as sFID). COUT (Khorram and Fuxin 2022) in [-1, 1]: high where few pixels turn the"
    " decision. L1 and perceptual: distance from the reconstruction. Diversity: perceptual distance between"
    " explanations of an image that share no coordinate."
)
WORDS = ("Experiment", "Method", "Towards")


def counterfactuals_table(root: Path, experiments: Mapping[str, ExperimentConfig]) -> Table:
    """Build the table from each experiment's counterfactuals.csv."""
    data = concatenated([read_table(ExperimentPaths(root, name).counterfactuals) for name in experiments], COLUMNS)
    pooled = data.loc[data["target_class"] == POOLED]
    looks = [
        _block(f"{_caption(set(data['extractor']))} Protocol: {PROTOCOLS[Protocol(str(protocol))]}.", part, _looks)
        for protocol, part in pooled.groupby("protocol", sort=False)
    ]
    main = [row["protocol"] == experiments[row["experiment"]].attfind.protocol for row in data.to_dict("records")]
    listed = [row["method"] == experiments[row["experiment"]].method for row in data.to_dict("records")]
    by_class = data.loc[numpy.array(main) & listed & (data["target_class"] != POOLED)]
    blocks = (
        *looks,
        _block("The same of AttFind's list, by target class and the main protocol.", by_class, _looks),
        _block(DISTANCES, data.loc[numpy.array(main) & (data["target_class"] == POOLED)], _distances),
    )
    return Table("counterfactuals", "Do counterfactuals look like the other class", data, blocks)


def main_rows(paths: ExperimentPaths, config: ExperimentConfig) -> dict[str, dict[Any, Any]]:
    """Return the rows of AttFind's list by the main protocol, by target class; that of `POOLED` is all directions."""
    data = read_table(paths.counterfactuals, ("method", "protocol", "target_class"))
    chosen = (data["method"] == config.method) & (data["protocol"] == config.attfind.protocol)
    return {str(row["target_class"]): row for row in data.loc[chosen].to_dict("records")}


def _block(caption: str, data: pandas.DataFrame, cells: Callable[[Mapping[Any, Any]], dict[str, object]]) -> Block:
    frame = pandas.DataFrame([_named(row) | cells(row) for row in data.to_dict("records")])
    return Block(caption, frame, tuple(name for name in frame.columns if name not in WORDS))


def _named(row: Mapping[Any, Any]) -> dict[str, object]:
    return {
        "Experiment": row["experiment"],
        "Method": (LABELS | OTHERS)[str(row["method"])],
        "Towards": direction(row["target_class"]),
    }


def _looks(row: Mapping[Any, Any]) -> dict[str, object]:
    """Return the cells that say whether the flipped look like the class, agreement and distances side by side."""
    return {
        "n": row["n"],
        "Flipped, %": _share(row, "validity"),
        "Agreed, %": _share(row, "agreement"),
        "Neither, %": percent(row["neither"]),
        "Fréchet": _number(row["frechet_distance"], 1),
        "of reconstructions": _number(row["frechet_reconstructions"], 1),
        "Ratio": _number(row["frechet_ratio"], 1),
        "Moves": _number(row["sparsity"], 1),
    }


def _distances(row: Mapping[Any, Any]) -> dict[str, object]:
    return {
        "n compared": row["n_compared"],
        "Halves": _number(row["frechet_halves"], 1),
        "KID × 1000": _number(row["kid"], 1, 1000),
        "COUT": _number(row["cout"], 2),
        "L1": _number(row["l1"], 3),
        "Perceptual": _number(row["perceptual"], 3),
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
        " all directions: means over the classes, none where one has too few flipped images. Moves: attributes until"
        " the flip, of the flipped. Random moves are what chance does, adversarial pixels what flipping without"
        " meaning costs."
    )
