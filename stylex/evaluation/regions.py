"""Whether an attribute acts where its factor does: the change of pixels against the regions of drawn images."""

from __future__ import annotations

from torch import Tensor

from stylex.evaluation.intervals import bootstrap

COLUMNS = ("area", "inside", "inside_low", "inside_high", "iou", "iou_low", "iou_high", "iou_chance")


def overlap(change: Tensor, region: Tensor, seed: int) -> dict[str, float | None]:
    """Return the columns `COLUMNS` of a move; all empty where nothing changes.

    change [n, H, W]: |x' - x| of each image; region [n, H, W] bool: that of a factor in it, never empty. Over the
    images in which something changes, with 95 % intervals over images:

    - inside: share of the change, of all images together, that lies in the regions;
      area: what that would be if the change of each image were spread evenly over it, so the area of the regions;
    - iou: intersection over union of the region and of as many pixels, those that change most, mean over images;
      iou_chance: of as many pixels drawn at random, about a / (2 - a) where the region is a share a of the image.
    """
    change, region = change.double().flatten(1), region.flatten(1)
    some = change.sum(dim=1) > 0
    if not some.any():
        return dict.fromkeys(COLUMNS)
    change, region = change[some], region[some]
    total, held = change.sum(dim=1), (change * region).sum(dim=1)
    share, iou = region.double().mean(dim=1), intersection_over_union(most_changed(change, region.sum(dim=1)), region)
    area, inside = (total * share).sum() / total.sum(), held.sum() / total.sum()
    bounds = bootstrap(held.numpy(), seed, total.numpy()), bootstrap(iou.numpy(), seed)
    values = (area, inside, *bounds[0], iou.mean(), *bounds[1], (share / (2 - share)).mean())
    return dict(zip(COLUMNS, map(float, values), strict=True))


def most_changed(change: Tensor, counts: Tensor) -> Tensor:
    """Return which pixels change most, [n, P] bool: `counts` [n] of them in each image, and none that does not change.

    change [n, P]. Of equal ones the first come first.
    """
    ranks = change.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return (ranks < counts[:, None]) & (change > 0)


def intersection_over_union(one: Tensor, other: Tensor) -> Tensor:
    """Return [n] float64 of two sets of pixels of each image, [n, P] bool, not both empty."""
    return (one & other).sum(dim=1).double() / (one | other).sum(dim=1)
