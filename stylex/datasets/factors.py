"""factors.parquet: what is known of every image of a drawn dataset, a column a factor, joined to images by id."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import numpy.typing

from stylex.artifacts import atomic_path, require, sha256
from stylex.config import DatasetPaths
from stylex.errors import ArtifactError, ConfigError

if TYPE_CHECKING:
    from stylex.datasets.split import ImageSplit


@dataclass(frozen=True, eq=False)
class Factors:
    """The factors of all images of a dataset; row i of `values` belongs to `ids[i]`."""

    ids: list[str]
    names: tuple[str, ...]
    values: numpy.typing.NDArray[numpy.float64]  # [N, len(names)], in [0, 1]

    def of(self, ids: list[str]) -> numpy.typing.NDArray[numpy.float64]:
        """Return the factors [n, F] of the images `ids`; raise `ArtifactError` naming one that is not known."""
        rows = {identity: row for row, identity in enumerate(self.ids)}
        unknown = [identity for identity in ids if identity not in rows]
        if unknown:
            raise ArtifactError(f"the factors of image '{unknown[0]}' are not known; prepare its dataset again")
        return self.values[[rows[identity] for identity in ids]]


def write_factors(path: Path, factors: Factors) -> dict[str, Any]:
    """Write the table atomically; return its entry of the manifest."""
    import pyarrow
    import pyarrow.parquet

    columns = dict(zip(factors.names, factors.values.T, strict=True))
    table = pyarrow.table({"id": factors.ids, **columns})
    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(table, temporary)
    return {"file": path.name, "rows": len(factors.ids), "bytes": path.stat().st_size, "sha256": sha256(path)}


def read_factors(root: Path, dataset: str, resolution: int) -> Factors:
    """Read the factors of a prepared dataset; raise `ConfigError` when it has none, `ArtifactError` for damage."""
    import pyarrow
    import pyarrow.parquet

    from stylex.datasets.catalog import dataset_spec

    names = dataset_spec(root, dataset).factors
    if not names:
        raise ConfigError(f"dataset '{dataset}' has no known factors; choose a drawn one such as leaves")
    path = require(DatasetPaths(root, dataset).factors(resolution))
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            table = file.read()
        values = numpy.stack([table[name].to_numpy() for name in names], axis=1)
        return Factors(table["id"].to_pylist(), names, values)
    except (pyarrow.ArrowException, OSError, KeyError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ArtifactError(f"{path} is damaged ({reason}); run `stylex prepare {dataset}` again") from None


def by_halves(split: ImageSplit, factors: Factors) -> ImageSplit:
    """Return the same images labelled by the half (0: below 0.5, 1) in which each factor lies: 2^F classes.

    A class is named by its digits in the order of the factors.
    """
    import torch

    digits = torch.from_numpy(factors.of(split.ids) >= 0.5).long()
    weights = 2 ** torch.arange(len(factors.names)).flip(0)
    names = tuple("".join(each) for each in itertools.product("01", repeat=len(factors.names)))
    return replace(split, labels=digits @ weights, class_names=names)
