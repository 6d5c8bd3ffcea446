"""The pickled latents of the released model, read by an unpickler that makes numpy arrays and nothing else.

A pickle is a program: it names what to call. Here four names are known, which build an array of numbers, and one, with
which old pickles write bytes; everything else is refused before it is imported.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stylex.artifacts import require
from stylex.errors import ArtifactError

CORES = ("numpy.core.multiarray", "numpy._core.multiarray")  # before numpy 2, and since
CALLED: dict[str, Any] = {"_reconstruct": np.empty(0).__reduce__()[0], "scalar": np.float32(0).__reduce__()[0]}
KNOWN = {(core, name): call for core in CORES for name, call in CALLED.items()}
KNOWN |= {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}


class ReleasedLatents(NamedTuple):
    """The latents of the analysed images: [N] ids, [N, w] and what is joined to w, [N, classes]; float32.

    An id is the number of the image, written as FFHQ names its files.
    """

    ids: list[str]
    w: np.ndarray
    condition: np.ndarray


def read_latents_pickle(path: Path, classes: int) -> ReleasedLatents:
    """Read a list of pairs of a number and an array [1, w + classes]; raise `ArtifactError` for anything else."""
    with require(path).open("rb") as file:
        try:
            content = _ArraysOnly(file).load()
        except _RefusedError as error:
            what = f"is not only numpy arrays: {error}; it was not read, get the original"
            raise ArtifactError(f"{path} {what}") from None
        except Exception as error:  # damaged, or made to harm: what the unpickler and numpy raise then is of any class
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise ArtifactError(f"{path} is no pickle of numpy arrays ({reason}); get the original") from None
    if not isinstance(content, list) or not content:
        raise ArtifactError(f"{path} holds a {type(content).__name__}, not a list of latents; get the original")
    rows, ids, size = [], [], path.stat().st_size
    for position, pair in enumerate(content):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not _is_entry(pair[0], pair[1], classes, size):
            raise ArtifactError(
                f"{path}: entry {position} is no number with finite values [1, w + {classes}]; get the original"
            )
        ids.append(f"{int(pair[0]):05d}")
        rows.append(pair[1][0].astype(np.float32))
    if len({len(row) for row in rows}) > 1 or len(set(ids)) < len(ids):
        raise ArtifactError(f"{path}: the latents differ in length, or an image stands twice; get the original")
    latents = np.stack(rows)
    return ReleasedLatents(ids, latents[:, :-classes], latents[:, -classes:])


class _RefusedError(Exception):
    """A pickle names what is not admitted."""


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any] | type:
        if (module, name) == ("_codecs", "encode"):
            return lambda text, encoding: _latin1(text, encoding)  # a new one: a pickle may set its attributes
        if (module, name) not in KNOWN:
            raise _RefusedError(f"it names {module}.{name}"[:120])
        return KNOWN[module, name]


def _latin1(text: str, encoding: str) -> bytes:
    """Encode as pickles of protocols 0 to 2 ask for where they hold bytes."""
    if encoding != "latin1":
        raise _RefusedError(f"it asks for the encoding {encoding!r}"[:120])
    return text.encode("latin1")


def _is_entry(number: Any, latent: Any, classes: int, size: int) -> bool:
    """Say whether these are a number and an array [1, w + classes]; one larger than its file is made to fill memory."""
    if not isinstance(number, (int, np.integer)) or not isinstance(latent, np.ndarray) or latent.dtype.kind != "f":
        return False
    if latent.nbytes > size or latent.ndim != 2 or len(latent) != 1 or latent.shape[1] <= classes:
        return False
    return bool(np.isfinite(latent).all())
