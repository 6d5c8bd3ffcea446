"""A trained network as the rest of the package sees it: frozen, in eval mode for ever, with its description.

A classifier left in training mode normalises an image by its batch mates; one of the public replications did that. So
`train()` does nothing here, and the batch normalisations are folded into the convolutions before them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import ValidationError
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stylex.artifacts import load_tensors, save_tensors
from stylex.classifiers.image_network import ImageNetwork
from stylex.classifiers.networks import build_network
from stylex.classifiers.timm_network import TimmNetwork
from stylex.config.finetuning import FineTuningConfig, Stem
from stylex.config.models import Section
from stylex.errors import ArtifactError

HEADER = "network"  # key of the description in the safetensors header
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
        return cls(
            role=role,
            name=name,
            architecture=config.architecture,
            width=config.width,
            channels=channels,
            resolution=resolution,
            class_names=class_names,
            stem=config.stem_at(resolution),
            published_inputs=config.published_inputs,
        )

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
        self.name = description.name
        self.architecture = description.architecture
        self.resolution = description.resolution
        self.channels = description.channels
        self.class_names = description.class_names

    def train(self, mode: bool = True) -> Self:
        """Do nothing: eval mode is for ever."""
        return self


def save_network(
    path: Path, network: ImageNetwork, description: NetworkDescription, provenance: dict[str, str]
) -> None:
    """Write the weights with their description and provenance as header."""
    save_tensors(path, network.state_dict(), {HEADER: description.model_dump_json(exclude_defaults=True), **provenance})


def load_network(path: Path, role: Role) -> tuple[ImageNetwork, NetworkDescription]:
    """Read a network on the CPU; raise `ArtifactError` when it is missing, damaged or plays another role."""
    tensors, header = load_tensors(path)
    try:
        description = NetworkDescription.model_validate_json(header.get(HEADER, ""))
        network = description.build()
        network.load_state_dict(tensors)
    except (ValidationError, KeyError, RuntimeError):
        raise ArtifactError(f"{path} is no trained {role} of this version; delete it and run its stage again") from None
    if description.role != role:
        raise ArtifactError(
            f"{path} holds {_named(description.role)}, {_named(role)} is needed: the explained classifier never"
            " measures"
        )
    return network, description


def _named(role: Role) -> str:
    return f"an {role}" if role == "oracle" else f"a {role}"


def fold_normalisation(network: Network) -> Network:
    """Merge every batch normalisation of an eval-mode network into the convolution before it, in place."""
    for module in list(network.modules()):
        children = list(module.named_children())
        for (name, convolution), (next_name, normalisation) in zip(children, children[1:], strict=False):
            if isinstance(convolution, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(convolution, normalisation))
                setattr(module, next_name, nn.Identity())
    return network.eval()
