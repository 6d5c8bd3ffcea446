"""Supervised training of a network, from scratch or from published weights; best epoch by balanced accuracy.

From scratch: Adam with decoupled weight decay (Loshchilov and Hutter 2019) under the one-cycle schedule (Smith and
Topin 2018), which reaches its accuracy in few epochs. Fine-tuning: Adam at a constant rate, the layers unfrozen from
the top ([V] 4.3). Everything random comes from the seed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import pandas
import torch
from torch import Tensor, nn
from torch.nn import functional

from stylex.classifiers.accuracy import accuracy, balanced_accuracy, predict
from stylex.classifiers.balance import class_weights, drawing_weights
from stylex.classifiers.image_network import ImageNetwork
from stylex.classifiers.initial_weights import InitialWeights
from stylex.classifiers.networks import build_network
from stylex.classifiers.translation import translate
from stylex.classifiers.unfreezing import Unfreezing
from stylex.config.finetuning import FineTuningConfig
from stylex.datasets import ImageSplit
from stylex.errors import TrainingDivergedError
from stylex.progress import Counter, progress


def train_network(
    config: FineTuningConfig,
    train: ImageSplit,
    val: ImageSplit,
    seed: int,
    device: str,
    label: str,
    initial: InitialWeights | None = None,
) -> tuple[ImageNetwork, pandas.DataFrame]:
    """Train on `train`; return the network of the best epoch on `val`, in eval mode, and the history (a row an epoch).

    The best epoch is that of the highest balanced accuracy, or of several the lowest loss. Raise
    `TrainingDivergedError` when a loss is not finite, `ArtifactError` when the initial weights are of another network.
    """
    weight = class_weights(train.labels, train.class_names).to(device) if config.balance == "loss" else None
    loss = nn.CrossEntropyLoss(weight, label_smoothing=config.label_smoothing)
    network = _seeded_network(config, train, len(train.class_names), seed, initial).to(device)
    draw = drawing_weights(train.labels, train.class_names) if config.balance == "sampling" else None
    trainer = _Trainer(config, network, train, train.labels, loss, seed, device, draw)
    val = val.part(_some(len(val), config.max_val_images, seed))

    def measure() -> dict[str, float]:
        logits = predict(network, val, device)
        return {
            "val_loss": functional.cross_entropy(logits, val.labels).item(),
            "val_accuracy": accuracy(logits, val.labels),
            "val_balanced_accuracy": balanced_accuracy(logits, val.labels),
        }

    return network, _fit(trainer, measure, lambda row: (row["val_balanced_accuracy"], -row["val_loss"]), label)


def train_regressor(
    config: FineTuningConfig,
    train: tuple[ImageSplit, Tensor],
    val: tuple[ImageSplit, Tensor],
    seed: int,
    device: str,
    label: str,
    initial: InitialWeights | None = None,
) -> tuple[ImageNetwork, pandas.DataFrame]:
    """Train a network by mean squared error, on splits with targets [N, F]; returns and raises as `train_network`."""
    network = _seeded_network(config, train[0], train[1].shape[1], seed, initial).to(device)
    trainer = _Trainer(config, network, *train, nn.MSELoss(), seed, device)
    chosen = _some(len(val[0]), config.max_val_images, seed)
    images, targets = val[0].part(chosen), val[1][chosen]

    def measure() -> dict[str, float]:
        return {"val_loss": functional.mse_loss(predict(network, images, device), targets).item()}

    return network, _fit(trainer, measure, lambda row: (-row["val_loss"],), label)


def _some(count: int, most: int | None, seed: int) -> Tensor:
    """Return the positions of at most `most` of `count` images, drawn once and in order."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[:most].sort().values


def _fit(
    trainer: _Trainer,
    measure: Callable[[], dict[str, float]],
    score: Callable[[dict[str, float]], tuple[float, ...]],
    label: str,
) -> pandas.DataFrame:
    """Train, leave the network with the weights of the epoch of the highest score; return the history.

    measure: the columns of the history that are measured on held-out images after an epoch, in eval mode.
    """
    config, network = trainer.config, trainer.network
    rows, best, best_epoch, best_weights = [], None, 0, {}
    with progress(label, config.epochs * trainer.epoch_images) as counter:
        for epoch in range(1, config.epochs + 1):
            start = time.monotonic()
            train_loss = trainer.epoch(epoch, counter)
            rate = trainer.epoch_images / (time.monotonic() - start)
            if not math.isfinite(train_loss):
                raise TrainingDivergedError(
                    f"{label}: the loss is {train_loss} in epoch {epoch}; lower learning_rate ({config.learning_rate})"
                )
            network.eval()
            row = measure()
            rows.append({"epoch": epoch, "train_loss": train_loss, **row, "images_per_second": round(rate, 1)})
            if best is None or score(row) > best:
                best, best_epoch = score(row), epoch
                best_weights = {name: value.clone() for name, value in network.state_dict().items()}
            if config.patience and epoch - max(best_epoch, trainer.unfreezing.last) >= config.patience:
                break
    network.load_state_dict(best_weights)
    return pandas.DataFrame(rows)


class _Trainer:
    """Network, optimiser, schedule and random state of one training; `draw` [N]: how likely each image is drawn."""

    def __init__(
        self,
        config: FineTuningConfig,
        network: ImageNetwork,
        train: ImageSplit,
        targets: Tensor,
        loss: nn.Module,
        seed: int,
        device: str,
        draw: Tensor | None = None,
    ) -> None:
        self.config, self.network, self.images, self.device = config, network, train, device
        self.targets, self.loss, self.draw = targets, loss, draw
        self.epoch_images = min(len(train), config.max_images or len(train))
        self.batches = math.ceil(self.epoch_images / config.batch_size)
        self.generator = torch.Generator().manual_seed(seed)
        self.unfreezing = Unfreezing(network, config.epochs_per_stage, config.epochs)
        method = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[config.optimizer]
        self.optimizer = method(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        self.schedule = None
        if config.schedule == "one_cycle":
            self.schedule = torch.optim.lr_scheduler.OneCycleLR(
                self.optimizer, config.learning_rate, total_steps=config.epochs * self.batches
            )

    def epoch(self, number: int, counter: Counter) -> float:
        """Show `epoch_images` images in random order, in batches of nearly equal size; return the mean loss."""
        self.network.train()
        self.unfreezing.apply(number)
        total = 0.0
        for indices in self._order().tensor_split(self.batches):
            total += self._step(indices) * len(indices)
            counter.advance(len(indices))
        return total / self.epoch_images

    def _order(self) -> Tensor:
        if self.draw is not None:
            return torch.multinomial(self.draw, self.epoch_images, replacement=True, generator=self.generator)
        return torch.randperm(len(self.images), generator=self.generator)[: self.epoch_images]

    def _step(self, indices: Tensor) -> float:
        furthest = self.config.max_translation
        shifts = torch.randint(-furthest, furthest + 1, (len(indices), 2), generator=self.generator)
        images = translate(self.images.images(indices).to(self.device), shifts.to(self.device))
        loss = self.loss(self.network(images), self.targets[indices].to(self.device))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        return loss.item()


def _seeded_network(
    config: FineTuningConfig, train: ImageSplit, outputs: int, seed: int, initial: InitialWeights | None
) -> ImageNetwork:
    stem, published_inputs = config.stem_at(train.resolution), config.published_inputs
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(config.architecture, train.channels, outputs, config.width, stem, published_inputs)
    if initial is not None:
        initial.copy_to(network, config.architecture)
    return network
