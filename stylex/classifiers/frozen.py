"""Trained networks as the rest of the package sees them: frozen, in eval mode for ever, with their description.

A classifier left in training mode normalises an image by its batch mates; one of the public replications did that. So
`train()` does nothing here, and the batch normalisations are folded into the convolutions before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self, TypeVar

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stylex.artifacts import load_tensors, save_tensors
from stylex.classifiers.networks import ImageNetwork, TimmNetwork, build_network
from stylex.config.base import Section
from stylex.config.finetuning import FineTuningConfig, Stem
from stylex.errors import ArtifactError

HEADER = "network"  # key of the description in the safetensors header
SCALES = 4  # stages measured: at 32x32 images 32, 32, 16 and 8 pixels; the last stage is only for the embedding
EPSILON = 1e-4  # added to squared norms: where nothing is active (black background) the gradient stays small
Role = Literal["classifier", "backbone", "oracle", "regressor"]
Network = TypeVar("Network", bound=nn.Module)


class NetworkDescription(Section):
    """What the weights belong to: stored as JSON in the header of model.safetensors."""

    role: Role
    name: str
    architecture: str
    width: float
    channels: int
    resolution: int
    class_names: tuple[str, ...]  # of the outputs; a regressor's are factors
    stem: Stem = "small"
    published_inputs: bool = False  # the network normalises its images as published weights want them

    @classmethod
    def of(
        cls,
        role: Role,
        name: str,
        config: FineTuningConfig,
        channels: int,
        resolution: int,
        class_names: tuple[str, ...],
    ) -> Self:
        """Describe what is trained by `config` on images of `channels` channels and `resolution` pixels."""
        shape = {"channels": channels, "resolution": resolution, "stem": config.stem_at(resolution)}
        same = {key: getattr(config, key) for key in ("architecture", "width", "published_inputs")}
        return cls(role=role, name=name, class_names=class_names, **shape, **same)

    def build(self) -> ImageNetwork:
        """Build the network, randomly initialised."""
        classes = len(self.class_names)
        return build_network(self.architecture, self.channels, classes, self.width, self.stem, self.published_inputs)


class FrozenNetwork(nn.Module):
    """A network that stays in eval mode and takes no gradient for its parameters (the images may take one)."""

    def __init__(self, network: ImageNetwork, description: NetworkDescription) -> None:
        super().__init__()
        network.eval()
        # In timm's models a normalisation may hold an activation, and neighbours may be apart in the computation.
        whole = network if isinstance(network, TimmNetwork) else fold_normalisation(network)
        self.network = whole.requires_grad_(False)
        self.training = False
        self.name, self.architecture = description.name, description.architecture
        self.resolution, self.channels = description.resolution, description.channels
        self.class_names = description.class_names

    def train(self, mode: bool = True) -> Self:
        """Do nothing: eval mode is for ever."""
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to float32 outputs [N, class_names]: logits, or a regressor's factors."""
        return self.network(images).float()


class Classifier(FrozenNetwork):
    """C, the classifier to be explained."""

    @property
    def last_maps(self) -> nn.Module | None:
        """The last module whose output are maps [N, C, H, W], for Grad-CAM; None where there is none."""
        return self.network.stages[-1]


class Oracle(FrozenNetwork):
    """A classifier of all classes of the dataset, trained apart from everything, that says what an image shows.

    A counterfactual that turns the explained classifier may be an adversarial example; a network that no gradient and
    no search has seen is not turned by it (Jeanneret et al. 2023, ACE, ask one for the same reason).
    """


class FactorRegressor(FrozenNetwork):
    """Gives the known factors of drawn images, in sd from their mean; `class_names` are the factors."""


class FeatureBackbone(FrozenNetwork):
    """A network trained on all classes of a dataset; `name` heads the columns of what it measures."""

    def features(self, images: Tensor) -> list[Tensor]:
        """Map images [N, C, H, W] in [-1, 1] to four float32 maps [N, Ci, Hi, Wi] of unit norm over the channels."""
        return [unit_norm(scale.float()) for scale in self.network.maps(images, SCALES)]

    def embedding(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to float32 penultimate features [N, D]."""
        return self.network.embedding(images).float()


def unit_norm(features: Tensor) -> Tensor:
    """Scale features [N, C, H, W] to unit norm over the channels (less where the norm is below about 0.01)."""
    return features * torch.rsqrt(features.square().sum(1, keepdim=True) + EPSILON)


def perceptual_distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Return the distance [N] of two lists of unit-norm features [N, Ci, Hi, Wi] (Zhang et al. 2018, equation 1).

    The sum over scales of the mean over positions of the squared difference, summed over channels: 0 for equal images,
    at most 4 a scale. Of `FeatureBackbone` it is LPIPS without its calibrated heads.
    """
    return torch.stack([(x - y).square().sum(1).mean((1, 2)) for x, y in zip(a, b, strict=True)]).sum(0)


def save_network(
    path: Path, network: ImageNetwork, description: NetworkDescription, provenance: dict[str, str]
) -> None:
    """Write the weights with their description and provenance as header."""
    save_tensors(path, network.state_dict(), {HEADER: description.model_dump_json(exclude_defaults=True), **provenance})


def load_network(path: Path, role: Role) -> tuple[ImageNetwork, NetworkDescription]:
    """Read a network on the CPU; raise `ArtifactError` when it is missing, damaged or plays another role."""
    return _network(path, role, *load_tensors(path))


def _network(
    path: Path, role: Role, tensors: dict[str, Tensor], header: dict[str, str]
) -> tuple[ImageNetwork, NetworkDescription]:
    try:
        description = NetworkDescription.model_validate_json(header.get(HEADER, ""))
        network = description.build()
        network.load_state_dict(tensors)
    except (ValidationError, KeyError, RuntimeError):
        raise ArtifactError(f"{path} is no trained {role} of this version; delete it and run its stage again") from None
    if description.role != role:
        held, needed = (f"an {each}" if each == "oracle" else f"a {each}" for each in (description.role, role))
        raise ArtifactError(f"{path} holds {held}, {needed} is needed: the explained classifier never measures")
    return network, description


def load_classifier(path: Path, device: str = "cpu") -> Classifier:
    """Load the classifier of `path`; raise `ArtifactError` when it is missing, damaged or no classifier."""
    tensors, header = load_tensors(path)
    if '"declaration":' in header.get(HEADER, ""):  # the user's own
        from stylex.classifiers.imported import unpack

        return unpack(path, tensors, header, device)
    return Classifier(*_network(path, "classifier", tensors, header)).to(device)


def load_backbone(path: Path, device: str = "cpu") -> FeatureBackbone:
    """Load the backbone of `path`; raise `ArtifactError` when it is missing, damaged or no backbone."""
    return FeatureBackbone(*load_network(path, "backbone")).to(device)


def load_regressor(path: Path, device: str = "cpu") -> FactorRegressor:
    """Load the regressor of `path`; raise `ArtifactError` when it is missing, damaged or no regressor."""
    return FactorRegressor(*load_network(path, "regressor")).to(device)


def load_oracle(path: Path, others: Sequence[Path], device: str = "cpu") -> Oracle:
    """Load the oracle of `path`; raise `ArtifactError` when it is missing, damaged, none, or the same as another.

    others: files of the networks whose weights it must not have: what is explained, and what the loss has seen.
    """
    oracle, ours = Oracle(*load_network(path, "oracle")), load_tensors(path)[0]
    for other in others:
        theirs = load_tensors(other)[0]
        if ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours):
            raise ArtifactError(
                f"{path} has the weights of {other}, which has had a part in what it is to judge; train the oracle"
                " with another seed or architecture"
            )
    return oracle.to(device)


def fold_normalisation(network: Network) -> Network:
    """Merge every batch normalisation of an eval-mode network into the convolution before it, in place."""
    for module in list(network.modules()):
        children = list(module.named_children())
        for (name, convolution), (next_name, normalisation) in zip(children, children[1:], strict=False):
            if isinstance(convolution, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(convolution, normalisation))
                setattr(module, next_name, nn.Identity())
    return network.eval()
