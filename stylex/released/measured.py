"""The effects that the authors measured and released: TFRecords of tf.train.Example, one an image ([N]).

Of each image: `dlatent`, w and what is joined to it; `base_prob`, the classifier's logits of its reconstruction;
`result`, the change of the logits for each coordinate moved to its minimum, then to its maximum.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stylex.artifacts import require
from stylex.errors import ArtifactError
from stylex.released.latents import ReleasedLatents
from stylex.released.protobuf import binary, messages, parse, text

HEADER, TRAILER = 12, 4  # bytes around a record: its length and a checksum, a checksum
SAME = 1e-5  # the most by which two copies of a latent differ


class MeasuredEffects(NamedTuple):
    """What the authors measured on each image: float32."""

    logits: np.ndarray  # [N, classes], of the reconstruction
    effects: np.ndarray  # [N, 2, K, classes], changes of the logits


def read_effects(path: Path, latents: ReleasedLatents) -> MeasuredEffects:
    """Return what was measured on the images of `latents`, in their order.

    Raises `ArtifactError` when the file is missing or damaged, or is of other images.
    """
    classes = latents.condition.shape[1]
    try:
        records = [_floats(record) for record in _records(require(path).read_bytes())]
        known = np.stack([record["dlatent"] for record in records])
        base = np.stack([record["base_prob"].reshape(classes) for record in records])
        effects = np.stack([record["result"].reshape(-1, 2, classes) for record in records]).transpose(0, 2, 1, 3)
    except (ValueError, KeyError, struct.error) as error:
        reason = " ".join(str(error).split())[:120]
        raise ArtifactError(f"{path} is damaged or not of this model ({reason}); fetch it again") from None
    rows = _rows(path, latents, known)
    return MeasuredEffects(base[rows], effects[rows])


def _rows(path: Path, latents: ReleasedLatents, known: np.ndarray) -> list[int]:
    """Find the record of every image by its latent."""
    wanted = np.concatenate([latents.w, latents.condition], axis=1)
    if known.shape[1] != wanted.shape[1]:
        raise ArtifactError(
            f"{path} has latents of {known.shape[1]} values, the images {wanted.shape[1]}; fetch both again"
        )
    rows = []
    for image, latent in zip(latents.ids, wanted, strict=True):
        difference = np.abs(known - latent).max(axis=1)
        if difference.min() > SAME:
            raise ArtifactError(f"{path} has no effects of image {image}; fetch it and the latents again")
        rows.append(int(difference.argmin()))
    return rows


def _records(content: bytes) -> list[bytes]:
    records, position = [], 0
    while position < len(content):
        (length,) = struct.unpack_from("<Q", content, position)
        record = content[position + HEADER : position + HEADER + length]
        if len(record) < length:
            raise ValueError("it ends within a record")
        records.append(record)
        position += HEADER + length + TRAILER
    return records


def _floats(record: bytes) -> dict[str, np.ndarray]:
    """Return the lists of floats of an Example (tensorflow/core/example/feature.proto) by name."""
    features = [each for group in messages(parse(record), 1) for each in messages(group, 1)]
    return {text(each, 1): _values(binary(each, 2)[-1]) for each in features}


def _values(feature: bytes) -> np.ndarray:
    (floats,) = messages(parse(feature), 2)
    return np.frombuffer(b"".join(binary(floats, 1)), "<f4")
