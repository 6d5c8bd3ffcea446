"""What a training step is given: real images with the outputs of the frozen networks, and all of its random numbers.

Everything random is drawn for the whole batch at once; a process, or a part of an accumulated batch, takes its rows. So
the same seed gives the same losses however a batch is divided, and a step can render its fakes twice where memory does
not hold them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Generator, Tensor

from stylex.classifiers import Classifier, FeatureBackbone, PerceptualFeatures
from stylex.classifiers.networks import translate
from stylex.config import StylexConfig
from stylex.datasets import ImageSplit
from stylex.errors import ConfigError
from stylex.networks.model import StylexNetworks
from stylex.precision import autocast_to
from stylex.training.distributed import Processes
from stylex.training.reading import Reader

AHEAD = 2  # batches that are read while one is computed
CACHE_BATCH = 64  # images at a time while outputs are computed beforehand
VIEWS = ("real", "fake", "real_r1", "fake_generator")  # inputs of D, each augmented by random numbers of its own
TRANSLATION_FRACTION = 8  # of DiffAugment: images move by at most a side / 8
CUTOUT_FRACTION = 2  # a square of side / 2 is blanked


class FrozenNetworks:
    """The classifier to be explained, the backbone of the Fréchet distance, and the features of the perceptual loss.

    Real images are classified in float32, fakes in `dtype`, by copies of the frozen weights that need no casting in
    every step. Without `perceptual` its features are the backbone's.
    """

    def __init__(
        self,
        classifier: Classifier,
        backbone: FeatureBackbone,
        dtype: torch.dtype = torch.float32,
        perceptual: PerceptualFeatures | None = None,
    ) -> None:
        self.classifier, self.backbone, self.dtype = classifier, backbone, dtype
        self.training_classifier, self.perceptual = classifier, perceptual or backbone
        if dtype != torch.float32:
            self.training_classifier = copy.deepcopy(classifier).to(dtype)
            self.perceptual = copy.deepcopy(self.perceptual)
            self.perceptual.network.to(dtype)  # the heads of LPIPS stay as they are


class _Samples:
    """Base of dataclasses of tensors, or sequences of tensors, whose first dimension is the sample."""

    def rows(self, rows: slice) -> Self:
        """Return the samples of `rows`."""
        values = (getattr(self, field.name) for field in fields(self))  # pyright: ignore[reportArgumentType]
        return type(self)(*(v[rows] if isinstance(v, Tensor) else type(v)(each[rows] for each in v) for v in values))


@dataclass(frozen=True)
class RealBatch(_Samples):
    """Real images and the outputs of the frozen networks."""

    images: Tensor  # [B, C, H, W] in [-1, 1]
    logits: Tensor  # C(x) [B, classes]
    features: list[Tensor]  # maps of the perceptual distance, [B, ...] each; empty without a perceptual loss


class BatchSampler:
    """Endless shuffled batches, of which each process gets its share; the position can be saved and restored.

    C(x) and, where memory allows, the perceptual features are computed once per image, unless images are shifted at
    random.
    """

    def __init__(
        self, split: ImageSplit, frozen: FrozenNetworks, config: StylexConfig, processes: Processes, device: str
    ) -> None:
        self.split, self.frozen, self.device = split, frozen, device
        self.config, self.perceptual = config.training, config.losses.reconstruction_perceptual > 0
        if len(split) < self.config.batch_size:
            raise ConfigError(
                f"stylex.training.batch_size {self.config.batch_size} is more than the {len(split)} training images:"
                " lower it"
            )
        self.share = processes.share(self.config.batch_size)
        self.reader = Reader(split, device, self.config.acceleration.readers)
        self.restart()
        self.logits, self.features = [], []
        if not self.config.max_translation:
            self.logits = self._of_all(self._logits)
            one = self._features(self.reader.images(torch.zeros(1, dtype=torch.int64)))
            needed = len(split) * sum(maps.numel() * maps.element_size() for maps in one)
            self.features = self._of_all(self._features) if needed <= self.config.cache_mib << 20 else []

    def next(self, generator: Generator, features: bool = True) -> RealBatch:
        """Return this process's share of the next batch; every image comes once an epoch.

        features: of the perceptual distance, too.
        """
        size = self.config.batch_size
        if self.position + size > len(self.order):
            self.order = torch.randperm(len(self.split), generator=generator, device=generator.device).cpu()
            self.position = 0
        index, *following = (self._share_at(self.position + ahead * size) for ahead in range(1 + AHEAD))
        self.position += size
        images = self.reader.images(index, [each for each in following if len(each)])
        if self.config.max_translation:
            uniform = torch.rand((size, 2), generator=generator, device=generator.device)[self.share]
            images = random_shift(images, self.config.max_translation, uniform)
        (logits,) = self._known(self.logits, index) or self._logits(images)
        maps = self._known(self.features, index) if features else []
        return RealBatch(images, logits, maps or (self._features(images) if features else []))

    def _share_at(self, position: int) -> Tensor:
        """Return this process's share of the batch at a position; nothing where the epoch has ended."""
        end = position + self.config.batch_size
        return self.order[position : end if end <= len(self.order) else position][self.share]

    def _known(self, outputs: list[Tensor], index: Tensor) -> list[Tensor]:
        """Return these rows of what was computed beforehand, on the device, without waiting for it."""
        return [known[index].to(self.device, non_blocking=True) for known in outputs]

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs."""
        return {"order": self.order, "position": self.position}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved position."""
        self.order, self.position = state["order"], state["position"]

    def restart(self) -> None:
        """Begin a new epoch, in a new order, with the next batch."""
        self.order, self.position = torch.empty(0, dtype=torch.int64), 0

    @torch.no_grad()
    def _logits(self, images: Tensor) -> list[Tensor]:
        # In float32 whatever the precision of training: the condition is what the user's classifier says.
        return [self.frozen.classifier(images)]

    @torch.no_grad()
    def _features(self, images: Tensor) -> list[Tensor]:
        if not self.perceptual:
            return []
        with autocast_to(self.frozen.dtype, self.device):
            return self.frozen.perceptual.features(images)

    def _of_all(self, compute: Callable[[Tensor], list[Tensor]]) -> list[Tensor]:
        index = torch.arange(len(self.split)).split(CACHE_BATCH)
        parts = [[each.cpu() for each in compute(self.reader.images(part))] for part in index]
        return [torch.cat(each) for each in zip(*parts, strict=True)]


@dataclass(frozen=True)
class RandomNumbers(_Samples):
    """The random numbers of N samples in a step."""

    z: Tensor  # [N, 2, latent_dim] normal: the sample's own latent, and the one it may be mixed with
    crossover: Tensor  # [N, L] bool: layers from a random one (1..L-1) upward
    mixed: Tensor  # [N, 1] bool: whether those take the other latent
    noise: tuple[Tensor, ...]  # [N, 1, side, side] normal, one per layer; none where the generator takes no noise
    views: Tensor  # [N, views, 4] uniform in [0, 1): where DiffAugment puts its shift and its square
    direction: Tensor  # [N, C, H, W] normal: the image direction of path lengths; [N, 0] in a step without
    counterfactual: Tensor  # [N] bool, on the CPU: which fakes of a noise step are made of an image's w; evenly spread
    other: Tensor  # [N] uniform in [0, 1): the class exchanged with the decided one; [N, 0] where none is
    exchanged: Tensor  # [N, n] bool: condition coordinates that take the exchanged condition; [N, 0] where none do

    def from_second(self) -> Tensor:
        """Return which layers take the other latent, [N, L] bool."""
        return self.crossover & self.mixed

    def view(self, name: str) -> Tensor:
        """Return the uniform numbers [N, 4] of one of VIEWS."""
        return self.views[:, VIEWS.index(name)]


def draw(networks: StylexNetworks, count: int, generator: Generator, direction: bool = False) -> RandomNumbers:
    """Draw for `count` samples, always in the same order."""
    config, layers = networks.config.training, len(networks.synthesis.layers)
    on: dict[str, Any] = {"generator": generator, "device": generator.device}
    part, mixed = config.counterfactuals, config.mixed_conditions
    shape = (networks.image_channels, networks.resolution, networks.resolution) if direction else (0,)
    position = torch.arange(layers, device=generator.device)
    evenly = (torch.arange(1, count + 1) * part).floor()
    return RandomNumbers(
        torch.randn((count, 2, networks.config.networks.latent_dim), **on),
        position >= torch.randint(1, layers, (count, 1), **on),
        torch.rand((count, 1), **on) < config.style_mixing,
        tuple(torch.randn((count, 1, side, side), **on) for side in networks.synthesis.noise_sides),
        torch.rand((count, len(VIEWS), 4), **on),
        torch.randn((count, *shape), **on),
        evenly.diff(prepend=torch.zeros(1)) > 0,
        torch.rand((count,) if part or mixed else (count, 0), **on),
        _exchanged(count, len(networks.synthesis.condition_index), mixed, on),
    )


def _exchanged(count: int, coordinates: int, probability: float, on: dict[str, Any]) -> Tensor:
    """Draw which coordinates are exchanged, [N, n] bool: of a mixed sample, a part that is uniform itself."""
    if not probability:
        return torch.zeros((count, 0), dtype=torch.bool, device=on["device"])
    mixed, part, each = (torch.rand((count, width), **on) for width in (1, 1, coordinates))
    return (mixed < probability) & (each < part)


def augment(images: Tensor, policies: Sequence[str], uniform: Tensor) -> Tensor:
    """Apply DiffAugment (Zhao et al. 2020), differentiable, to images [N, C, H, W]; returns the same shape.

    policies: of {'translation', 'cutout'}. uniform [N, 4] in [0, 1): two numbers for the shift, two for the square.
    """
    for policy in policies:
        if policy == "translation":
            images = random_shift(images, images.shape[-1] // TRANSLATION_FRACTION, uniform[:, :2])
        else:
            images = cutout(images, images.shape[-1] // CUTOUT_FRACTION, uniform[:, 2:])
    return images


def random_shift(images: Tensor, maximum: int, uniform: Tensor) -> Tensor:
    """Shift every image of [N, C, H, W] by its own whole pixels in [-maximum, maximum]; edges are repeated.

    uniform [N, 2] in [0, 1): down, right.
    """
    return translate(images, (uniform * (2 * maximum + 1)).long().clamp(max=2 * maximum) - maximum)


def cutout(images: Tensor, side: int, centre: Tensor) -> Tensor:
    """Set a square of `side` pixels, anywhere on each image (also half outside), to zero, the middle grey.

    centre [N, 2] in [0, 1): its row and column as fractions of the image.
    """
    height, width = images.shape[-2:]
    rows = (torch.arange(height, device=images.device) - centre[:, :1] * height).abs() < side / 2
    columns = (torch.arange(width, device=images.device) - centre[:, 1:] * width).abs() < side / 2
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])
