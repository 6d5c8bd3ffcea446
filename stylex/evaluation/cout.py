"""COUT, the counterfactual transition score (Khorram and Fuxin 2022; as Jeanneret et al. 2023, ACE, compute it).

Pixels of an image x are exchanged for those of its counterfactual x', the most changed first, in equal steps. COUT is
the area under the probability of the target class along the way, less that of the class left: 1 if the first pixels
turn a certain decision for good, -1 if nothing is turned. ACE's `eval_utils/cout_metrics.py` takes 50 steps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

STEPS = 16  # divides the pixels of every image here, whose sides are powers of two


def exchange_order(before: Tensor, after: Tensor) -> Tensor:
    """Return when each pixel is exchanged, [N, H * W] int64: its rank by the mask, 0 first; ties in reading order.

    before, after [N, C, H, W]. The mask is |x' - x|, its mean over the channels; to scale it to [0, 1], as the sources
    do, changes no rank.
    """
    mask = (after - before).abs().mean(dim=1).flatten(1)
    return mask.argsort(dim=1, descending=True, stable=True).argsort(dim=1)


@torch.inference_mode()
def transition_areas(
    classifier: Callable[[Tensor], Tensor], before: Tensor, after: Tensor, steps: int = STEPS
) -> Tensor:
    """Return the area under each class's probability from x to x', [N, classes] in [0, 1], by the trapezoidal rule.

    before, after [N, C, H, W], on the classifier's device; classifier: gives logits [N, classes].
    """
    ranks, (height, width) = exchange_order(before, after), before.shape[2:]
    curve = []
    for step in range(steps + 1):
        exchanged = (ranks < step * height * width / steps).view(-1, 1, height, width)
        curve.append(classifier(torch.where(exchanged, after, before)).softmax(dim=1))
    chances = torch.stack(curve)
    return ((chances[1:] + chances[:-1]) / 2).mean(dim=0)
