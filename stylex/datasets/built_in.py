"""The images of the built-in datasets, row by row: decoded from IDX or CSV files and padded, or drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy

from stylex.datasets import leaves
from stylex.datasets.catalog import DatasetSpec
from stylex.datasets.decoding import decode
from stylex.datasets.factors import Factors
from stylex.datasets.images import Bytes, pad, resize
from stylex.datasets.partition import OFFICIAL_SHARES, OWN_SHARES, assign_splits
from stylex.datasets.shards import Content, Row

PADDED_SIDE = 32  # pixels: 28x28 digits and garments get a margin of two zeros
CHUNK = 1024  # images that are padded, resized or drawn at a time


def description(spec: DatasetSpec, resolution: int) -> dict[str, Any]:
    """Return what the manifest says of the preparation."""
    splits = {
        "splits": "official test split" if spec.format == "idx" else "no official split",
        "shares": OFFICIAL_SHARES if spec.format == "idx" else OWN_SHARES,
    }
    if spec.format == "drawn":
        return {"factors": list(spec.factors), "causes": list(spec.causes), **splits}
    resized = "none" if resolution == PADDED_SIDE else "lanczos, antialiased, of the padded image"
    return {"padded_side": PADDED_SIDE, "resize": resized, **splits}


def content(spec: DatasetSpec, folder: Path, resolution: int) -> Content:
    """Return the images of a built-in dataset whose files are in `folder`; raise `ImageError` for a damaged file."""
    if spec.format == "drawn":
        return _drawn(spec, resolution)
    parts = list(decode(spec, folder))
    names = [[f"{spec.name}-{raw.part}-{index:05d}" for index in range(len(raw.labels))] for raw in parts]
    shares = {"train": OFFICIAL_SHARES, "test": {"test": 1.0}, "all": OWN_SHARES}
    splits = [assign_splits(ids, raw.labels, shares[raw.part]) for ids, raw in zip(names, parts, strict=True)]

    def rows() -> Iterator[Row]:
        for raw, ids, homes in zip(parts, names, splits, strict=True):
            for start in range(0, len(ids), CHUNK):
                for row, pixels in enumerate(prepared(raw.images[start : start + CHUNK], resolution)[:, None], start):
                    yield Row(homes[row], pixels, int(raw.labels[row]), ids[row], raw.file)

    return Content(Counter(numpy.concatenate(splits).tolist()), rows())


def prepared(images: Bytes, resolution: int) -> Bytes:
    """Return downloaded images [N, 28, 28] as they are stored: [N, resolution, resolution]."""
    return resize(pad(images, PADDED_SIDE), resolution)


def _drawn(spec: DatasetSpec, resolution: int) -> Content:
    values = leaves.sample_factors(leaves.COUNT, leaves.SEEDS[spec.name], leaves.AGREEMENT[spec.name])
    labels, ids = leaves.labels_of(values), [f"{spec.name}-all-{index:05d}" for index in range(len(values))]
    homes = assign_splits(ids, labels, OWN_SHARES)

    def rows() -> Iterator[Row]:
        for start in range(0, len(ids), CHUNK):
            for row, pixels in enumerate(leaves.draw_leaves(values[start : start + CHUNK], resolution), start):
                yield Row(homes[row], pixels, int(labels[row]), ids[row], "drawn")

    return Content(Counter(homes.tolist()), rows(), factors=Factors(ids, spec.factors, values))
