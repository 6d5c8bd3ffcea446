"""The classifier's logits of moved style coordinates ([L] 3.3), many moves of many images at a time.

A move of layer l leaves everything below l as it is, so the state before layer l is computed once an image; in layer l
itself a move is a rank-one update; from there on the moves of all layers so far form one batch. Moves are made in
style tensors: weights and inputs are never touched.

The screened search does a small part of that work: it measures only what can still be among the attributes. The effects
of all coordinates are first estimated by one backward pass an image, gradient x move. All moves are then measured on a
few random images, and a line through each move's measurements over its estimates gives the mean effect a confidence
interval. Algorithm 1 runs on these: while more than one move may have the largest mean, those with the highest bounds
are measured on half as many images again (successive elimination, Even-Dar et al. 2006, in the order of LUCB,
Kalyanakrishnan et al. 2012). The winner is measured on every image. What is not measured stays NaN in the effects file:
a bound is never reported as an effect. The residuals on images that are explained already count as representative for
the others, until few are left; as far as that holds, each attribute is the one that the exhaustive search would choose,
with the confidence asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from functools import cache

import torch
from scipy.special import stdtrit
from torch import Tensor

from stylex.attfind.records import threshold_in_logits
from stylex.config import AttFindConfig
from stylex.networks.layers import ModulatedConv2d
from stylex.networks.stylespace import StyleVector
from stylex.networks.synthesis import Activations, Synthesis

FIRST_IMAGES = 4  # on which a screened search measures every move
LAST_IMAGES = 8  # when no more are left, every move is measured on all of them
LINE_IMAGES = 5  # measured on as many, a move gets a line of its own
TYPICAL_IMAGES = 4  # what the variance that is typical of all moves counts for in the variance of one
AT_ONCE = 32  # contested moves measured further at a time: those with the highest bounds
GROWTH = 1.5  # of the number of images on which a contested move is measured
SHOWN = 16  # images of a class on which its attributes are measured the other way, to show some in a figure
Scorer = Callable[[Tensor], Tensor]  # images [N, C, H, W] -> [N, outputs]
Request = tuple[Tensor, Tensor]  # images [n] on which moves [m] have to be measured


@dataclass(frozen=True)
class Moves:
    """Changes of one style coordinate each; M of them."""

    image: Tensor  # [M] int64, the row of the styles
    index: Tensor  # [M] int64, the coordinate, 0..K-1
    value: Tensor  # [M] float32, what the coordinate becomes

    def select(self, rows: Tensor) -> Moves:
        """Return the moves named by `rows` (int64)."""
        return Moves(self.image[rows], self.index[rows], self.value[_sent(rows, self.value)])

    def applied(self, styles: StyleVector) -> StyleVector:
        """Return the styles with all these moves made; the input is untouched."""
        space = styles.space.clone()
        space[self.image, self.index] = self.value
        return styles._replace(space=space)


def targets_of(space: Tensor, extremes: Tensor, shift: float) -> Tensor:
    """Return where each coordinate goes, [N, 2, K]: s + shift * (extreme - s); axis 1 is `Direction`.

    space [N, K]; extremes [2, K]: minima, maxima.
    """
    return space[:, None] + shift * (extremes - space[:, None])


def every_move(targets: Tensor) -> Moves:
    """Return all moves of targets [N, 2, K], in the order of its elements."""
    count, directions, size = targets.shape
    rows = torch.arange(targets.numel(), device=targets.device)
    return Moves(rows // (directions * size), rows % size, targets.flatten())


@torch.inference_mode()
def logits_of_moves(
    synthesis: Synthesis, classifier: Scorer, styles: StyleVector, moves: Moves, batch_size: int
) -> Tensor:
    """Return the classifier's outputs [M, classes] for each move, float32, in the order of the moves.

    styles: of N images; `batch_size`: moves rendered and classified at a time. Which move is rendered when is decided
    on the CPU: beyond reading the moves, nothing here waits for the device.
    """
    moves, found, rows = replace(moves, image=moves.image.cpu(), index=moves.index.cpu()), [], []
    for first in range(0, len(styles.space), batch_size):  # as many shared states are held at a time
        inside = torch.nonzero((moves.image >= first) & (moves.image < first + batch_size)).flatten()
        if not len(inside):
            continue
        some, local = moves.select(inside), styles.select(slice(first, first + batch_size))
        for images, which in _rendered(synthesis, local, replace(some, image=some.image - first), batch_size):
            found.append(classifier(images).float())
            rows.append(inside[which])
    if not found:
        raise ValueError("no move to evaluate")
    logits = torch.cat(found)
    return torch.empty_like(logits).index_copy_(0, _sent(torch.cat(rows), logits), logits)


def _sent(index: Tensor, values: Tensor) -> Tensor:
    """Return an index on the device of the values, without waiting for it."""
    return index.to(values.device, non_blocking=True)


def _rendered(
    synthesis: Synthesis, styles: StyleVector, moves: Moves, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images [B, C, H, W] and the moves [B] that they show, layer by layer, until all are shown."""
    kept, owners = torch.unique(moves.image, return_inverse=True)
    styles, moves = styles.select(_sent(kept, styles.space)), replace(moves, image=owners)
    layers = torch.repeat_interleave(torch.tensor(synthesis.layout.widths))[moves.index]
    last = int(layers.max())
    base, pool, pooled = synthesis.start(len(kept)), None, layers.new_empty(0)
    for layer, rows in enumerate(synthesis.layout.rows()):
        if pool is not None:
            pool = synthesis.advance(pool, _styles_of(styles, moves.image[pooled]))
        waiting = torch.nonzero(layers == layer).flatten()
        while len(waiting):
            taken, waiting = waiting[: batch_size - len(pooled)], waiting[batch_size - len(pooled) :]
            entering = _moved(synthesis, base, styles, moves.select(taken), rows)
            pool, pooled = _joined(pool, entering), torch.cat([pooled, taken])
            if len(pooled) == batch_size:
                yield synthesis.finish(pool, _styles_of(styles, moves.image[pooled])), pooled
                pool, pooled = None, layers.new_empty(0)
        if layer < last:
            base = synthesis.advance(base, styles)
    if pool is not None:
        yield synthesis.finish(pool, _styles_of(styles, moves.image[pooled])), pooled


def _moved(synthesis: Synthesis, base: Activations, styles: StyleVector, moves: Moves, rows: slice) -> Activations:
    """Return the state after the layer of `base`, one row per move; `rows`: the coordinates of that layer."""
    layer = synthesis.layers[base.layer]
    assert isinstance(layer, ModulatedConv2d)
    owners, channels = _sent(moves.image, moves.value), _sent(moves.index - rows.start, moves.value)
    features = layer.with_one_style_moved(base.features, styles.space[:, rows], owners, channels, moves.value)
    image = None if base.image is None else base.image[owners]
    return synthesis.draw(Activations(base.layer, base.features, image), features, _styles_of(styles, moves.image))


def _styles_of(styles: StyleVector, owners: Tensor) -> StyleVector:
    """Return the styles of the images `owners` [M], on the CPU, or the one row that serves them all."""
    one = bool((owners == owners[0]).all())
    return styles.select(_sent(owners[:1] if one else owners, styles.space))


def _joined(pool: Activations | None, entering: Activations) -> Activations:
    if pool is None:
        return entering
    image = None
    if entering.image is not None and pool.image is not None:
        image = torch.cat([pool.image, entering.image])
    return Activations(entering.layer, torch.cat([pool.features, entering.features]), image)


class Screen:
    """A set of images whose effects are measured on demand, and kept.

    base [N, classes]; effect [N, 2, K, classes], NaN where it was not measured; evaluations: moves rendered and
    classified. All on the CPU.
    """

    def __init__(
        self, synthesis: Synthesis, classifier: Scorer, styles: StyleVector, extremes: Tensor, options: AttFindConfig
    ) -> None:
        """Take styles of N images, on the device of the networks; extremes [2, K]: minima, maxima."""
        self.synthesis, self.classifier, self.styles, self.options = synthesis, classifier, styles, options
        self.targets = targets_of(styles.space, extremes, options.shift)
        self.base, self.estimate = self._first_order()
        self.effect = torch.full((*self.targets.shape, self.base.shape[1]), torch.nan)
        self.evaluations = 0

    def _first_order(self) -> tuple[Tensor, Tensor]:
        """Return base logits [N, classes] and gradient x move [N, 2, K, classes], on the CPU."""
        logits, estimates = [], []
        for rows in torch.arange(len(self.targets), device=self.targets.device).split(self.options.batch_size):
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

    def measure(self, *requests: Request) -> None:
        """Measure moves [m] (flat indices of [2, K]) on images [n], for each request, where that is not done yet.

        Whole renderings: an image has too few moves here for what they share to be worth keeping.
        """
        size = self.targets.shape[2]
        missing = torch.zeros(len(self.base), 2 * size, dtype=torch.bool)
        for images, moves in requests:
            missing[images[:, None], moves] = True
        image, move = torch.nonzero(missing & self.effect[..., 0].flatten(1).isnan()).unbind(dim=1)
        if not len(image):
            return
        for rows in torch.arange(len(image)).split(self.options.batch_size):
            self.effect.flatten(1, 2)[image[rows], move[rows]] = self._effects_of(image[rows], move[rows])
        self.evaluations += len(image)

    @torch.inference_mode()
    def _effects_of(self, image: Tensor, move: Tensor) -> Tensor:
        """Return the effects [n, classes] of one move on each image, on the CPU."""
        rows, moves = _sent(image, self.targets), _sent(move, self.targets)
        space, to_rgb = self.styles.select(rows)  # a copy
        space[torch.arange(len(rows), device=rows.device), moves % space.shape[1]] = self.targets.flatten(1)[
            rows, moves
        ]
        logits = self.classifier(self.synthesis.render(StyleVector(space, to_rgb))).float()
        return logits.cpu() - self.base[image]


def screened(screen: Screen, seed: int) -> tuple[int, int]:
    """Run Algorithm 1 for every class, measuring only what decides it; all classes together, for larger batches.

    `seed`: of the order of the images. Returns how many moves were measured on all images of a class's search, and how
    many on fewer, both summed over the classes.
    """
    generator = torch.Generator().manual_seed(seed)
    searches = []
    for target in range(screen.base.shape[1]):
        images = torch.randperm(len(screen.base), generator=generator)
        searches.append(_search(screen, target, images))
    while requests := [request for search in searches for request in next(search, [])]:
        screen.measure(*requests)
    known, decisions = ~screen.effect[..., 0].isnan(), screen.base.argmax(dim=1)
    complete = torch.stack([known[decisions != target].all(dim=0) for target in range(screen.base.shape[1])])
    return int(complete.sum()), int((~complete).sum())


def _search(screen: Screen, target: int, images: Tensor) -> Iterator[list[Request]]:
    """Yield what has to be measured to choose the moves of one class; `images` in random order."""
    size, options = screen.targets.shape[2], screen.options
    target_class = screen.base[images].argmax(dim=1) == target
    others, own = images[~target_class], images[target_class]
    yield [(others[:FIRST_IMAGES], torch.arange(2 * size))]
    left, used, threshold = others, torch.zeros(size, dtype=torch.bool), threshold_in_logits(options, screen.base)
    found: list[int] = []
    while len(found) < options.max_attributes and len(left):
        if len(left) <= LAST_IMAGES:
            yield [(left, torch.nonzero(~used.repeat(2)).flatten())]
        best = yield from _winner(screen, target, others, left, used)
        if best is None:
            break
        found.append(best)
        used[best % size] = True
        explained = screen.effect.flatten(1, 2)[left, best, target] > threshold
        left = left[~explained]
    yield [(own[:SHOWN], (torch.tensor(found, dtype=torch.int64) + size) % (2 * size))]


def _winner(
    screen: Screen, target: int, images: Tensor, left: Tensor, used: Tensor
) -> Generator[list[Request], None, int | None]:
    """Return the move with the largest positive mean on the images `left`, raised in one direction only, or None.

    Asks for more measurements until one move alone can be it; that one is measured on all of `left`.
    """
    size, tolerance = len(used), screen.options.tolerance
    while True:
        low, high = intervals(screen, target, images, left)
        other_low, other_high = (bound.view(2, size).flip(0).flatten() for bound in (low, high))
        possible = (high > 0) & ~((low > tolerance) & (other_low > tolerance)) & ~used.repeat(2)
        if not possible.any():
            return None
        floor = low.masked_fill(~possible | (other_high > tolerance), -torch.inf).max()
        contested = torch.nonzero(possible & (high >= floor)).flatten()
        alone = len(contested) == 1
        contested = contested[high[contested].argsort(descending=True, stable=True)[:AT_ONCE]]
        opposites = (contested + size) % (2 * size)
        unsure = (low[opposites] <= tolerance) & (high[opposites] > tolerance) & (low[opposites] < high[opposites])
        wanted = torch.cat([contested[low[contested] < high[contested]], opposites[unsure]]).unique()
        if not len(wanted):
            best = int(low.masked_fill(~possible, 0).argmax())
            if low[best] <= 0:
                return None
            # A larger one that was discarded, for raising the class both ways: by measurements, not by its bounds.
            discarded = torch.nonzero((low == high) & (low > low[best]) & ~used.repeat(2)).flatten()
            yield [(left, (discarded + size) % (2 * size))]
            return best
        known = (~screen.effect.flatten(1, 2)[left, :, target].isnan()).sum(dim=0)[wanted]
        counts = torch.full_like(known, len(left)) if alone else (GROWTH * known).ceil().long()
        counts = counts.clamp(min(FIRST_IMAGES, len(left)), len(left))
        yield [(left[:count], wanted[counts == count]) for count in counts.unique().tolist()]


def intervals(screen: Screen, target: int, images: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bounds [2 K] of each move's mean effect on the images `left`; equal where it was measured on all.

    The effect of an image that was not measured is predicted by the move's own line through those that were, over the
    first-order estimate (by their mean where there are too few for a line). The bounds are Student's prediction
    interval of the mean of all such images, at the confidence that Bonferroni asks of each move, with each residual as
    the line through the other images leaves it: a line through few points fits those too well. Few residuals say little
    of a variance, so what is typical of all moves, in proportion to the size of a move's effects, counts for
    TYPICAL_IMAGES more (moderated variances, Smyth 2004).
    """
    effect = screen.effect.flatten(1, 2)[images, :, target].double()  # [X, 2 K]
    estimate = screen.estimate.flatten(1, 2)[images, :, target].double()
    known, here = ~effect.isnan(), torch.isin(images, left)
    number, guessed = known.sum(dim=0), (~known[here]).sum(dim=0)
    x_mean, y_mean = _mean(estimate, known), _mean(effect, known)
    x, y = (estimate - x_mean) * known, (effect - y_mean).nan_to_num()
    spread = x.square().sum(dim=0)
    line = (number >= LINE_IMAGES) & (spread > 0)
    slope = torch.where(line, (x * y).sum(dim=0) / spread.clamp_min(1e-30), 0.0)
    freedom = (number - 1 - line.long()).clamp_min(1)
    leverage = 1 / number + torch.where(line, x.square() / spread.clamp_min(1e-30), 0.0)
    residual = (y - slope * x) / (1 - leverage).clamp_min(1e-6)  # of each image by the line through the others
    variance = (residual * known).square().sum(dim=0) / freedom
    size = (_mean(effect.square(), known) + _mean(estimate.square(), known)).clamp_min(1e-30)
    relative = (variance / size)[number > 1]
    typical = relative.median() * size if len(relative) else variance
    variance = (freedom * variance + TYPICAL_IMAGES * typical) / (freedom + TYPICAL_IMAGES)
    away = torch.where(line, (_mean(estimate[here], ~known[here]) - x_mean).square() / spread.clamp_min(1e-30), 0.0)
    centre = torch.where(known, effect, y_mean + slope * (estimate - x_mean))[here].mean(dim=0)
    level = 1 - (1 - screen.options.confidence) / (2 * effect.shape[1])
    quantile = torch.tensor([_quantile(level, degrees) for degrees in (freedom + TYPICAL_IMAGES).tolist()]).double()
    error = (variance * (1 / number + 1 / guessed.clamp_min(1) + away)).sqrt() * guessed / len(left)
    half = torch.where(guessed > 0, quantile * error, 0.0)
    return centre - half, centre + half


@cache
def _quantile(level: float, freedom: int) -> float:
    return float(stdtrit(freedom, level))


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Return the mean [M] of values [X, M] over the rows of each column that `where` names; 0 where it names none."""
    return values.masked_fill(~where, 0.0).sum(dim=0) / where.sum(dim=0).clamp_min(1)
