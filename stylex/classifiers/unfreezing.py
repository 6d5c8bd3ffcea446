"""Gradual unfreezing from the top ([V] 4.3; Howard and Ruder 2018): the head first, then stage after stage."""

from __future__ import annotations

from stylex.classifiers.image_network import ImageNetwork


class Unfreezing:
    """Which stages of a network learn in which epoch; without `epochs_per_stage` all of them, always.

    last: the epoch that is the last before the final set of stages learns; 0 without unfreezing.
    """

    def __init__(self, network: ImageNetwork, epochs_per_stage: int | None, epochs: int) -> None:
        self.network, self.epochs_per_stage = network, epochs_per_stage
        self.last = 0 if epochs_per_stage is None else epochs_per_stage * self.learning(epochs)

    def learning(self, epoch: int) -> int:
        """Return how many stages, counted from the top, learn in this epoch (from 1); the head always does."""
        stages = len(self.network.stages)
        return stages if self.epochs_per_stage is None else min(stages, (epoch - 1) // self.epochs_per_stage)

    def apply(self, epoch: int) -> None:
        """Freeze the other stages of a network in training mode: no gradient, and batch statistics as they were."""
        if self.epochs_per_stage is None:
            return
        frozen = len(self.network.stages) - self.learning(epoch)
        for index, stage in enumerate(self.network.stages):
            stage.requires_grad_(index >= frozen).train(index >= frozen)
