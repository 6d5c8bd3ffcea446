"""The classifier's answers to moved style coordinates ([L] 3.3), many moves of many images at a time.

A move of layer l leaves everything below l as it is, so the state before layer l is computed once an image; in layer l
itself a move is a rank-one update; from there on the moves of all layers so far form one batch. Moves are made in
style tensors: weights and inputs are never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stylex.networks.layers import ModulatedConv2d
from stylex.networks.stylespace import StyleVector
from stylex.networks.synthesis import Activations, Synthesis

Judge = Callable[[Tensor], Tensor]  # images [N, C, H, W] -> [N, outputs]


@dataclass(frozen=True)
class Moves:
    """Changes of one style coordinate each; M of them."""

    image: Tensor
    """[M] int64: the row of the styles."""
    index: Tensor
    """[M] int64: the coordinate, 0..K-1."""
    value: Tensor
    """[M] float32: what the coordinate becomes."""

    def select(self, rows: Tensor) -> Moves:
        """Return the moves named by `rows` (int64)."""
        return Moves(self.image[rows], self.index[rows], self.value[rows])


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
    synthesis: Synthesis, classifier: Judge, styles: StyleVector, moves: Moves, batch_size: int
) -> Tensor:
    """Return the classifier's outputs [M, classes] for each move, float32, in the order of the moves.

    styles: of N images; `batch_size`: moves rendered and classified at a time.
    """
    found, rows = [], []
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
    return torch.empty_like(logits).index_copy_(0, torch.cat(rows), logits)


def _rendered(
    synthesis: Synthesis, styles: StyleVector, moves: Moves, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images [B, C, H, W] and the moves [B] that they show, layer by layer, until all are shown."""
    kept, owners = torch.unique(moves.image, return_inverse=True)
    styles, moves = styles.select(kept), replace(moves, image=owners)
    widths = torch.tensor(synthesis.layout.widths, device=moves.index.device)
    layers = torch.repeat_interleave(widths)[moves.index]
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
    """Return the state after the layer of `base`, once a move; `rows`: the coordinates of that layer."""
    layer = synthesis.layers[base.layer]
    assert isinstance(layer, ModulatedConv2d)
    features = layer.with_one_style_moved(
        base.features, styles.space[:, rows], moves.image, moves.index - rows.start, moves.value
    )
    image = None if base.image is None else base.image[moves.image]
    return synthesis.draw(Activations(base.layer, base.features, image), features, _styles_of(styles, moves.image))


def _styles_of(styles: StyleVector, owners: Tensor) -> StyleVector:
    """Return the styles of the images `owners` [M], or the one row that serves them all."""
    one = bool((owners == owners[0]).all())
    return styles.select(owners[:1] if one else owners)


def _joined(pool: Activations | None, entering: Activations) -> Activations:
    if pool is None:
        return entering
    image = None
    if entering.image is not None and pool.image is not None:
        image = torch.cat([pool.image, entering.image])
    return Activations(entering.layer, torch.cat([pool.features, entering.features]), image)
