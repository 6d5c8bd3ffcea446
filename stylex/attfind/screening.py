"""AttFind for a small part of its work: measure only what can still be among the attributes.

The effects of all coordinates are first estimated by one backward pass an image, effect ~ slope x gradient x move. All
moves are then measured on a few random images, and what the estimate leaves out (the residual) gives each move's mean
effect a confidence interval. Algorithm 1 runs on these: while more than one move may have the largest mean, those are
measured on twice as many images (successive elimination, Even-Dar et al. 2006). The winner is measured on every
image. What is not measured stays NaN in the effects file: a bound is never reported as an effect.

The residuals on images that are explained already count as representative for the others, until few are left; as far
as that holds, each attribute is the one that the exhaustive search would choose, with the confidence asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.stats import t as student
from torch import Tensor

from stylex.attfind.engine import Judge, Moves, logits_of_moves, targets_of
from stylex.networks.stylespace import StyleVector
from stylex.networks.synthesis import Synthesis

FIRST_IMAGES = 8  # on which every move is measured
LAST_IMAGES = 16  # when no more are left, every move is measured on all of them
SHOWN = 16  # images of a class on which its attributes are measured the other way, to show some in a figure


@dataclass(frozen=True)
class Screening:
    """What a screened search measured."""

    base_logits: Tensor  # [N, classes]
    effect: Tensor  # [N, 2, K, classes]; NaN where it was not measured
    evaluations: int  # moves rendered and classified
    measured: int  # moves (coordinate and direction) measured on every image of a search
    bounded: int  # moves that were measured on some images only


class Screen:
    """A set of images whose effects are measured on demand, and kept."""

    def __init__(
        self,
        synthesis: Synthesis,
        classifier: Judge,
        styles: StyleVector,
        extremes: Tensor,
        shift: float,
        batch_size: int,
    ) -> None:
        """Take styles of N images, on the device of the networks; extremes [2, K]: minima, maxima."""
        self.synthesis, self.classifier, self.styles, self.batch_size = synthesis, classifier, styles, batch_size
        self.targets = targets_of(styles.space, extremes, shift)
        self.base, self.estimate = self._first_order()
        self.effect = torch.full((*self.targets.shape, self.base.shape[1]), torch.nan)
        self.evaluations = 0

    def _first_order(self) -> tuple[Tensor, Tensor]:
        """Return base logits [N, classes] and gradient x move [N, 2, K, classes], on the CPU."""
        logits, estimates = [], []
        for rows in torch.arange(len(self.styles.space)).split(self.batch_size):
            space = self.styles.space[rows].detach().clone().requires_grad_()
            with torch.enable_grad():
                found = self.classifier(self.synthesis.render(StyleVector(space, self.styles.to_rgb[rows]))).float()
                gradients = [
                    torch.autograd.grad(found[:, label].sum(), space, retain_graph=label + 1 < found.shape[1])[0]
                    for label in range(found.shape[1])
                ]
            moves = self.targets[rows] - self.styles.space[rows][:, None]
            estimates.append((moves[..., None] * torch.stack(gradients, dim=-1)[:, None]).cpu())
            logits.append(found.detach().cpu())
        return torch.cat(logits), torch.cat(estimates)

    def measure(self, images: Tensor, moves: Tensor) -> None:
        """Measure the moves [m] (flat indices of [2, K]) on the images [n], where that is not done yet."""
        size = self.targets.shape[2]
        image, move = torch.meshgrid(images, moves, indexing="ij")
        missing = self.effect.flatten(1, 2)[image, move, 0].isnan()
        image, move = image[missing], move[missing]
        if not len(image):
            return
        value = self.targets.flatten(1)[image.to(self.targets.device), move.to(self.targets.device)]
        asked = Moves(image.to(value.device), (move % size).to(value.device), value)
        logits = logits_of_moves(self.synthesis, self.classifier, self.styles, asked, self.batch_size).cpu()
        self.effect.flatten(1, 2)[image, move] = logits - self.base[image]
        self.evaluations += len(image)


def screened(screen: Screen, threshold: float, max_attributes: int, confidence: float, seed: int) -> Screening:
    """Run Algorithm 1 for every class, measuring only what decides it.

    `threshold` in logits; `confidence`: of each choice, say 0.95; `seed`: of the order of the images.
    """
    generator = torch.Generator().manual_seed(seed)
    size = screen.targets.shape[2]
    for target in range(screen.base.shape[1]):
        images = torch.randperm(len(screen.base), generator=generator)
        target_class = screen.base[images].argmax(dim=1) == target
        others, own = images[~target_class], images[target_class]
        if not len(others):
            continue
        chosen = torch.tensor(_search(screen, target, others, threshold, max_attributes, confidence), dtype=torch.int64)
        screen.measure(own[:SHOWN], (chosen + size) % (2 * size))
    known = ~screen.effect[..., 0].isnan()
    return Screening(
        screen.base,
        screen.effect,
        screen.evaluations,
        measured=int(known.all(dim=0).sum()),
        bounded=int((~known.all(dim=0)).sum()),
    )


def _search(
    screen: Screen, target: int, images: Tensor, threshold: float, max_attributes: int, confidence: float
) -> list[int]:
    """Return the moves chosen for one class; `images` in random order."""
    size = screen.targets.shape[2]
    screen.measure(images[:FIRST_IMAGES], torch.arange(2 * size))
    left, used = images, torch.zeros(size, dtype=torch.bool)
    found: list[int] = []
    while len(found) < max_attributes and len(left):
        if len(left) <= LAST_IMAGES:
            screen.measure(left, torch.nonzero(~used.repeat(2)).flatten())
        best = _winner(screen, target, images, left, used, confidence)
        if best is None:
            break
        found.append(best)
        used[best % size] = True
        explained = screen.effect.flatten(1, 2)[left, best, target] > threshold
        left = left[~explained]
    return found


def _winner(screen: Screen, target: int, images: Tensor, left: Tensor, used: Tensor, confidence: float) -> int | None:
    """Return the move with the largest positive mean on the images `left`, raised in one direction only, or None.

    Measures more until one move alone can be it; that one is measured on all of `left`, both ways.
    """
    size, count = len(used), FIRST_IMAGES
    while True:
        low, high = intervals(screen, target, images, left, confidence)
        other_low, other_high = (bound.view(2, size).flip(0).flatten() for bound in (low, high))
        possible = (high > 0) & ~((low > 0) & (other_low > 0)) & ~used.repeat(2)
        if not possible.any():
            return None
        floor = low.masked_fill(~possible | (other_high > 0), -torch.inf).max()
        contested = torch.nonzero(possible & (high >= floor)).flatten()
        if len(contested) == 1:
            count = len(left)
        opposites = (contested + size) % (2 * size)
        unsure = (low[opposites] <= 0) & (high[opposites] > 0) & (low[opposites] < high[opposites])
        wanted = torch.cat([contested[low[contested] < high[contested]], opposites[unsure]]).unique()
        if not len(wanted):
            best = int(low.masked_fill(~possible, 0).argmax())
            if low[best] <= 0:
                return None
            screen.measure(left, torch.tensor([(best + size) % (2 * size)]))
            return best
        count = min(2 * count, len(left))
        screen.measure(left[:count], wanted)


def intervals(screen: Screen, target: int, images: Tensor, left: Tensor, confidence: float) -> tuple[Tensor, Tensor]:
    """Return the bounds [2 K] of each move's mean effect on the images `left`; equal where it was measured on all.

    Where an image was not measured, the estimate and the mean residual stand for it, with Student's prediction interval
    at the confidence that Bonferroni asks of each move.
    """
    effect = screen.effect.flatten(1, 2)[images, :, target].double()  # [X, 2 K]
    estimate = screen.estimate.flatten(1, 2)[images, :, target].double()
    known = ~effect.isnan()
    slope = (effect.nan_to_num() * estimate).sum() / (estimate.square() * known).sum().clamp_min(1e-30)
    residual = (effect - slope * estimate).nan_to_num()
    number = known.sum(dim=0)
    mean = residual.sum(dim=0) / number
    variance = ((residual - mean) * known).square().sum(dim=0) / (number - 1).clamp_min(1)
    here = torch.isin(images, left)
    centre = torch.where(known, effect, slope * estimate + mean)[here].mean(dim=0)
    guessed = (~known[here]).sum(dim=0)
    quantile = student.ppf(1 - (1 - confidence) / (2 * effect.shape[1]), (number - 1).clamp_min(1).numpy())
    error = (variance * (1 / number + 1 / guessed.clamp_min(1))).sqrt() * guessed / len(left)
    half = torch.where(guessed > 0, torch.from_numpy(quantile) * error, 0.0)
    return centre - half, centre + half
