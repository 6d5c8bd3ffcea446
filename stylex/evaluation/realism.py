"""How far counterfactuals are from the dataset's images of the class that they are turned into.

Fréchet distance and KID are of features; the Fréchet distance of as many reconstructions of that class stands beside
it, for it is biased in n and no reconstruction is perfect. On disjoint halves, as Jeanneret et al. 2023 do (ACE, sFID):
the images of one half of the data against the counterfactuals of the other, both ways, mean; so no image is compared
with its own counterfactual.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from stylex.distances import frechet_distance, kernel_distance, moments

FEWEST = 10  # images of which a distance is taken


class Features(NamedTuple):
    """Features of n images."""

    ids: list[str]
    values: Tensor  # [n, D] float64

    def select(self, rows: Tensor) -> Features:
        """Return the images named by `rows` (int64)."""
        return Features([self.ids[row] for row in rows.tolist()], self.values[rows])


def distances(real: Features, rebuilt: Features, turned: Features, seed: int) -> dict[str, float | int | None]:
    """Return the columns of distances of counterfactuals.csv.

    real: the dataset's images of a class; rebuilt: reconstructions of that class; turned: images flipped to it. As many
    of the last two, drawn by `seed`, are compared; all are None where these are fewer than `FEWEST`.
    """
    count, random = min(len(rebuilt.ids), len(turned.ids)), torch.Generator().manual_seed(seed)
    empty = dict.fromkeys(("frechet_distance", "frechet_reconstructions", "frechet_ratio", "kid", "kid_sd"))
    if count < FEWEST or len(real.ids) < FEWEST:
        return {"n_compared": 0, **empty, "frechet_halves": None}
    ours, theirs = (each.values[torch.randperm(len(each.ids), generator=random)[:count]] for each in (turned, rebuilt))
    far, near = (frechet(real.values, values) for values in (ours, theirs))
    kid, kid_sd = kernel_distance(real.values, ours, torch.Generator().manual_seed(seed))
    return {
        "n_compared": count,
        "frechet_distance": far,
        "frechet_reconstructions": near,
        "frechet_ratio": far / near,
        "kid": kid,
        "kid_sd": kid_sd,
        "frechet_halves": frechet_of_halves(real, turned),
    }


def frechet(a: Tensor, b: Tensor) -> float:
    """Return the Fréchet distance of two sets of features [n, D]."""
    return frechet_distance(*moments(a), *moments(b))


def frechet_of_halves(real: Features, turned: Features) -> float | None:
    """Return the mean Fréchet distance of one half of the data to counterfactuals of the other; None for too few."""
    halves = [in_first_half(each.ids) for each in (real, turned)]
    if any(min(int(half.sum()), int((~half).sum())) < FEWEST for half in halves):
        return None
    ours, theirs = halves
    both = [(real.values[ours], turned.values[~theirs]), (real.values[~ours], turned.values[theirs])]
    return sum(frechet(*pair) for pair in both) / len(both)


def in_first_half(ids: Sequence[str]) -> Tensor:
    """Return which images are of the first half of the data, [n] bool, by a hash of their ids."""
    return torch.tensor([hashlib.sha256(each.encode()).digest()[-1] % 2 == 0 for each in ids], dtype=torch.bool)
