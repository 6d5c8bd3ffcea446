"""The searches of AttFind for one target class: Algorithm 1 of [L] 3.3, and the two of the notebook [N].

All take the effects on the images to be explained, effect [X, 2, K] in logits, and which moves are allowed, [2, K].
A move that was not measured on every image (its mean is NaN) is never chosen. An average over no image is not an
effect: when every image is explained, a search ends, where [N] would go on with coordinate 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stylex.attfind.records import Direction

EXPLAINED, EXHAUSTED = "every image is explained", "no coordinate left raises the class"


class Limits(NamedTuple):
    """What a search goes by, and where it ends."""

    threshold: float  # logits
    attributes: int  # found at the most
    images_fraction: float = 0.0  # of `image_fraction` alone: the smallest part of the images that a move must raise
    tolerance: float = 0.0  # of `paper` alone, logits: a mean up to it does not count as raising the class both ways


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


def paper(effect: Tensor, allowed: Tensor, limits: Limits) -> Search:
    """Run Algorithm 1 of [L]: an image whose effect of the chosen move is above the threshold is explained and leaves.

    A coordinate whose mean is positive in both directions is discarded, whichever direction is allowed. Images that are
    at one extreme already are hardly moved there, so by rounding alone the best coordinate can be of these: [L]'s limit
    of 0 can be raised by the tolerance. (The screened
    engine leaves the opposite of a move unmeasured where it knows from its bounds that the mean is not positive.) None
    is used twice: what raises the class one way would, moved the other way, take it back.
    """
    left, found = effect, []
    used = torch.zeros(effect.shape[2], dtype=torch.bool)
    while len(found) < limits.attributes:
        if not len(left):
            return Search(found, EXPLAINED)
        mean = left.mean(dim=0)
        consistent = ~(mean > limits.tolerance).all(dim=0)
        best = _largest(mean, (mean > 0) & consistent & allowed & ~used)
        if best is None:
            return Search(found, EXHAUSTED)
        direction, index = best
        explained = left[:, direction, index] > limits.threshold
        found.append(Found(direction, index, float(mean[direction, index]), int(explained.sum())))
        used[index] = True
        left = left[~explained]
    return Search(found, _limit(limits))


def notebook(effect: Tensor, allowed: Tensor, limits: Limits) -> Search:
    """Run find_significant_styles of [N]: effects count from 0 up, and an image leaves when their sum is the threshold.

    So one direction is never held against the other, and an image can be explained by several moves together. A chosen
    move is not chosen again, but the other direction of its coordinate may be.
    """
    gain, found = effect.clamp_min(0), []
    total = torch.zeros(len(effect), dtype=effect.dtype)
    while len(found) < limits.attributes:
        left = total < limits.threshold
        if not left.any():
            return Search(found, EXPLAINED)
        mean = gain[left].mean(dim=0)
        best = _largest(mean, (mean > 0) & allowed)
        if best is None:
            return Search(found, EXHAUSTED)
        direction, index = best
        total = total + gain[:, direction, index]
        explained = int((left & (total >= limits.threshold)).sum())
        found.append(Found(direction, index, float(mean[direction, index]), explained))
        gain[:, direction, index] = 0
    return Search(found, _limit(limits))


def image_fraction(effect: Tensor, allowed: Tensor, limits: Limits) -> Search:
    """Run find_significant_styles_image_fraction of [N]: the moves that raise the most images by the threshold or more.

    Counted once, over all images: none ever leaves, and both directions of a coordinate may be chosen. Of the first
    2 x `attributes` moves those that are allowed are taken, until one raises too few images. `explained` is the number
    that a move raises. Of moves that raise equally many the one with the larger mean comes first; [N] leaves that open.
    """
    mean = effect.mean(dim=0).flatten()
    count = (effect > limits.threshold).sum(dim=0).flatten().masked_fill(mean.isnan(), 0)
    by_mean = mean.argsort(descending=True, stable=True)
    order = by_mean[count[by_mean].argsort(descending=True, stable=True)][: 2 * limits.attributes]
    found: list[Found] = []
    for move in order.tolist():
        if not count[move] or count[move] < limits.images_fraction * len(effect):
            return Search(found, "no move left raises enough images by more than the threshold")
        direction, index = divmod(move, effect.shape[2])
        if allowed[direction, index]:
            found.append(Found(Direction(direction), index, float(mean[move]), int(count[move])))
        if len(found) == limits.attributes:
            return Search(found, _limit(limits))
    return Search(found, f"the first {len(order)} moves have been looked at")


ALGORITHMS = {"paper": paper, "notebook": notebook, "image_fraction": image_fraction}


def explained_in_order(effect: Tensor, moves: list[tuple[Direction, int]], threshold: float) -> list[int]:
    """Return how many images each move explains, by [N]'s sum, when they come in this order; effect [X, 2, K]."""
    total, counts = torch.zeros(len(effect), dtype=effect.dtype), [0]
    for direction, index in moves:
        total = total + effect[:, direction, index].clamp_min(0)
        counts.append(int((total >= threshold).sum()))
    return [after - before for before, after in zip(counts, counts[1:], strict=False)]


def _largest(mean: Tensor, eligible: Tensor) -> tuple[Direction, int] | None:
    """Return the eligible move with the largest mean; None: no such. mean, eligible [2, K]."""
    if not eligible.any():
        return None
    direction, index = divmod(int(mean.masked_fill(~eligible, -torch.inf).argmax()), mean.shape[1])
    return Direction(direction), index


def _limit(limits: Limits) -> str:
    return f"the limit of {limits.attributes} is reached"
