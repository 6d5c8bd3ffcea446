"""The two searches of AttFind for one target class: Algorithm 1 of [L] 3.3, and the variant of the notebook [N].

Both take the effects on the images to be explained, effect [X, 2, K] in logits, and which moves are allowed, [2, K].
A move that was not measured on every image (its mean is NaN) is never chosen. A coordinate is used once: an image
cannot be moved both ways. An average over no image is not an effect: when every image is explained, the search ends.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stylex.attfind.records import Direction


class Found(NamedTuple):
    """A chosen move."""

    direction: Direction
    style_index: int
    mean_effect: float  # logits, over the images unexplained until then
    explained: int  # images that it explains


class Search(NamedTuple):
    """The chosen moves in order, and why there are no more."""

    found: list[Found]
    stopped: str


def paper(effect: Tensor, allowed: Tensor, threshold: float, limit: int, ranking: str) -> Search:
    """Run Algorithm 1 of [L]: an image whose effect of the chosen move is above `threshold` is explained and leaves.

    A coordinate whose mean is positive in both directions is discarded, whichever direction is allowed. (The screened
    engine leaves the opposite of a move unmeasured where it knows from its bounds that the mean is not positive.)
    """
    left, found = effect, []
    used = torch.zeros(effect.shape[2], dtype=torch.bool)
    while len(found) < limit:
        if not len(left):
            return Search(found, "every image is explained")
        mean = left.mean(dim=0)
        consistent = ~(mean > 0).all(dim=0)
        best = _best(left, mean, (mean > 0) & consistent & allowed & ~used, threshold, ranking)
        if best is None:
            return Search(found, _exhausted(ranking))
        direction, index = best
        explained = left[:, direction, index] > threshold
        found.append(Found(direction, index, float(mean[direction, index]), int(explained.sum())))
        used[index] = True
        left = left[~explained]
    return Search(found, f"the limit of {limit} is reached")


def notebook(effect: Tensor, allowed: Tensor, threshold: float, limit: int, ranking: str) -> Search:
    """Run the search of [N]: effects count from 0 up, and an image leaves when their sum passes `threshold`.

    So one direction is never held against the other, and an image can be explained by several moves together. What the
    replications made of it goes on after the last image has left, with a mean over nothing and coordinate 0 for ever.
    """
    gain, found = effect.clamp_min(0), []
    total = torch.zeros(len(effect), dtype=effect.dtype)
    used = torch.zeros(effect.shape[2], dtype=torch.bool)
    while len(found) < limit:
        unexplained = total <= threshold
        if not unexplained.any():
            return Search(found, "every image is explained")
        mean = gain[unexplained].mean(dim=0)
        best = _best(gain[unexplained], mean, (mean > 0) & allowed & ~used, threshold, ranking)
        if best is None:
            return Search(found, _exhausted(ranking))
        direction, index = best
        total = total + gain[:, direction, index]
        explained = int((unexplained & (total > threshold)).sum())
        found.append(Found(direction, index, float(mean[direction, index]), explained))
        used[index] = True
    return Search(found, f"the limit of {limit} is reached")


ALGORITHMS = {"paper": paper, "notebook": notebook}


def explained_in_order(effect: Tensor, moves: list[tuple[Direction, int]], threshold: float) -> list[int]:
    """Return how many images each move explains, by [N]'s sum, when they come in this order; effect [X, 2, K]."""
    total, counts = torch.zeros(len(effect), dtype=effect.dtype), [0]
    for direction, index in moves:
        total = total + effect[:, direction, index].clamp_min(0)
        counts.append(int((total > threshold).sum()))
    return [after - before for before, after in zip(counts, counts[1:], strict=False)]


def _best(
    effect: Tensor, mean: Tensor, eligible: Tensor, threshold: float, ranking: str
) -> tuple[Direction, int] | None:
    """Return the eligible move with the largest mean, or that passes the threshold on most images; None: no such.

    mean, eligible [2, K]. Among moves that pass it on equally many images the mean decides.
    """
    if ranking == "image_fraction":
        count = (effect > threshold).sum(dim=0) * eligible
        eligible = eligible & (count > 0) & (count == count.max())
    if not eligible.any():
        return None
    direction, index = divmod(int(mean.masked_fill(~eligible, -torch.inf).argmax()), mean.shape[1])
    return Direction(direction), index


def _exhausted(ranking: str) -> str:
    if ranking == "image_fraction":
        return "no coordinate left raises the class of any image by more than the threshold"
    return "no coordinate left raises the class"
