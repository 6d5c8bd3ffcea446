"""The table of distances to the dataset's images against the number of attributes moved ([V] 5.2, figure 3)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas

from stylex.artifacts import read_table
from stylex.config import ExperimentConfig, ExperimentPaths
from stylex.config.analysis import INCEPTION, KID_FOLDS
from stylex.protocols import Protocol
from stylex.report.published import PROTOCOLS
from stylex.report.table import NOTHING, Block, Table, concatenated

COLUMNS = ("experiment", "protocol", "n_attributes", "n", "extractor", "frechet_distance", "kid", "kid_sd", *KID_FOLDS)
ATTRIBUTES = "Attributes"


def frechet_table(root: Path, experiments: Mapping[str, ExperimentConfig]) -> Table:
    """Build the table from each experiment's frechet.csv."""
    text = ("experiment", "protocol", "extractor")
    parts = [read_table(ExperimentPaths(root, name).frechet, text) for name in experiments]
    data = concatenated(parts, COLUMNS)
    groups = data.groupby("protocol", sort=False)
    blocks = tuple(_block(PROTOCOLS[Protocol(str(protocol))], part) for protocol, part in groups)
    return Table("frechet", "Distance to the dataset's images", data, blocks)


def _block(protocol: str, data: pandas.DataFrame) -> Block:
    """Return the curves of all experiments by one protocol, side by side."""
    columns: dict[str, dict[int, str]] = {}
    for _, part in data.groupby(["experiment", "extractor"], sort=False):
        rows = part.to_dict("records")
        experiment, extractor = rows[0]["experiment"], rows[0]["extractor"]
        distance = f"{experiment} (n = {rows[0]['n']}): {distance_name(extractor)}"
        columns[distance] = {row["n_attributes"]: f"{row['frechet_distance']:.2f}" for row in rows}
        kid = f"{experiment}: KID × 1000, {extractor}"
        columns[kid] = {row["n_attributes"]: f"{1000 * row['kid']:.2f} ± {1000 * row['kid_sd']:.2f}" for row in rows}
    counts = sorted(set(data["n_attributes"]))
    cells = {name: [values.get(count, NOTHING) for count in counts] for name, values in columns.items()}
    frame = pandas.DataFrame({ATTRIBUTES: counts, **cells})
    return Block(f"{_caption(set(data['extractor']))} Protocol: {protocol}.", frame, (ATTRIBUTES, *columns))


def distance_name(extractor: str) -> str:
    """Return what the Fréchet distance of these features is called: FID for pytorch-fid's Inception alone."""
    return "FID" if extractor == INCEPTION else f"Fréchet distance, {extractor}"


def _caption(extractors: set[str]) -> str:
    text = (
        "This run: distance between the features of the dataset's images and of their reconstructions with the top"
        " attributes moved. KID: mean ± sd over subsets."
    )
    if INCEPTION in extractors:
        text += (
            " FID: 2048 features of pytorch-fid's Inception. It falls as n grows, so only numbers of the same n can be"
            " compared."
        )
    if extractors - {INCEPTION}:
        text += (
            " Under another name the features are those of a network trained here: this is not FID, and the curves that"
            " van der Vleuten et al. 2022 plot in their figure 3 are not comparable."
        )
    return text
