"""Supervised training of a network, from scratch or from given weights; the best epoch is kept.

From scratch: Adam with decoupled weight decay (Loshchilov and Hutter 2019) under the one-cycle schedule (Smith and
Topin 2018), which reaches its accuracy in few epochs. Fine-tuning: Adam at a constant rate, the layers unfrozen from
the top ([V] 4.3; Howard and Ruder 2018). Everything random comes from the seed.
"""

from __future__ import annotations

import math
import time

import pandas
import torch
from torch import Tensor, nn
from torch.nn import functional

from stylex.classifiers.initial_weights import InitialWeights
from stylex.classifiers.metrics import accuracy, balanced_accuracy, predict
from stylex.classifiers.networks import ImageNetwork, build_network, translate
from stylex.config.finetuning import FineTuningConfig
from stylex.datasets import ImageSplit
from stylex.errors import DatasetError, TrainingDivergedError
from stylex.progress import Counter, progress


def train_network(
    config: FineTuningConfig,
    train: ImageSplit,
    val: ImageSplit,
    seed: int,
    device: str,
    label: str,
    initial: InitialWeights | None = None,
    targets: tuple[Tensor, Tensor] | None = None,
) -> tuple[ImageNetwork, pandas.DataFrame]:
    """Train on `train`; return the network of the best epoch on `val`, in eval mode, and the history (a row an epoch).

    The best epoch is that of the highest balanced accuracy, or of several the lowest loss. With `targets` [N, F] of
    both splits the network learns these instead of the labels, by mean squared error. Raises `TrainingDivergedError`
    when a loss is not finite, `ArtifactError` when the initial weights are of another network.
    """
    stem, published_inputs = config.stem_at(train.resolution), config.published_inputs
    outputs = len(train.class_names) if targets is None else targets[0].shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(config.architecture, train.channels, outputs, config.width, stem, published_inputs)
    if initial is not None:
        initial.copy_to(network, config.architecture)
    trainer = _Trainer(config, network.to(device), train, None if targets is None else targets[0], seed, device)
    order = torch.randperm(len(val), generator=torch.Generator().manual_seed(seed))
    chosen = order[: config.max_val_images].sort().values
    val = val.part(chosen)
    return network, trainer.fit(label, val, val.labels if targets is None else targets[1][chosen])


class _Trainer:
    """Network, loss, optimiser, schedule and random state of one training; `targets`: None for the labels."""

    def __init__(
        self,
        config: FineTuningConfig,
        network: ImageNetwork,
        train: ImageSplit,
        targets: Tensor | None,
        seed: int,
        device: str,
    ) -> None:
        self.config, self.network, self.images, self.device = config, network, train, device
        self.sampling_weights, self.loss = None, nn.MSELoss()
        self.targets = train.labels if targets is None else targets
        if targets is None:
            weights = None if config.balance == "none" else class_weights(train.labels, train.class_names)
            if weights is not None and config.balance == "sampling":
                self.sampling_weights, weights = weights[train.labels], None
            weights = None if weights is None else weights.to(device)
            self.loss = nn.CrossEntropyLoss(weights, label_smoothing=config.label_smoothing)
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

    def fit(self, label: str, val: ImageSplit, val_targets: Tensor) -> pandas.DataFrame:
        """Train, leave the network with the weights of the best epoch; return the history."""
        config, rows, best, best_epoch, best_weights = self.config, [], None, 0, {}
        with progress(label, config.epochs * self.epoch_images) as counter:
            for epoch in range(1, config.epochs + 1):
                start = time.monotonic()
                loss = self.epoch(epoch, counter)
                rate = self.epoch_images / (time.monotonic() - start)
                if not math.isfinite(loss):
                    raise TrainingDivergedError(
                        f"{label}: the loss is {loss} in epoch {epoch}; lower learning_rate ({config.learning_rate})"
                    )
                measured = self._measure(val, val_targets)
                rows.append({"epoch": epoch, "train_loss": loss, **measured, "images_per_second": round(rate, 1)})
                score = measured.get("val_balanced_accuracy", 0.0), -measured["val_loss"]
                if best is None or score > best:
                    best, best_epoch = score, epoch
                    best_weights = {name: value.clone() for name, value in self.network.state_dict().items()}
                if config.patience and epoch - max(best_epoch, self.unfreezing.last) >= config.patience:
                    break
        self.network.load_state_dict(best_weights)
        return pandas.DataFrame(rows)

    def _measure(self, val: ImageSplit, targets: Tensor) -> dict[str, float]:
        outputs = predict(self.network.eval(), val, self.device)
        if targets.is_floating_point():
            return {"val_loss": functional.mse_loss(outputs, targets).item()}
        return {
            "val_loss": functional.cross_entropy(outputs, targets).item(),
            "val_accuracy": accuracy(outputs, targets),
            "val_balanced_accuracy": balanced_accuracy(outputs, targets),
        }

    def epoch(self, number: int, counter: Counter) -> float:
        """Show `epoch_images` images in random order, in batches of nearly equal size; return the mean loss."""
        self.network.train()
        self.unfreezing.apply(number)
        if self.sampling_weights is None:
            order = torch.randperm(len(self.images), generator=self.generator)[: self.epoch_images]
        else:
            order = torch.multinomial(self.sampling_weights, self.epoch_images, True, generator=self.generator)
        batches, losses = order.tensor_split(self.batches), list[Tensor]()
        for indices in batches:
            losses.append(self._step(indices))
            counter.advance(len(indices))
        weighted = zip(torch.stack(losses).tolist(), map(len, batches), strict=True)  # the only wait for the device
        return sum(loss * count for loss, count in weighted) / self.epoch_images

    def _step(self, indices: Tensor) -> Tensor:
        furthest = self.config.max_translation
        shifts = torch.randint(-furthest, furthest + 1, (len(indices), 2), generator=self.generator)
        images = self.images.images(indices).to(self.device)
        images = translate(images, shifts.to(self.device, non_blocking=True))
        loss = self.loss(self.network(images), self.targets[indices].to(self.device, non_blocking=True))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        return loss.detach()


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


def class_weights(labels: Tensor, class_names: tuple[str, ...]) -> Tensor:
    """Return n / (classes x images of the class) for each class, float32 [classes]: their mean over the images is 1.

    labels: int64 [n]. Raises `DatasetError` when a class has no image.
    """
    counts = torch.bincount(labels, minlength=len(class_names))
    if not counts.all():
        empty = class_names[int(counts.argmin())]
        raise DatasetError(
            f"class '{empty}' has no image in the training split: leave it out of dataset.classes, or set balance: none"
        )
    return len(labels) / (len(class_names) * counts.float())
