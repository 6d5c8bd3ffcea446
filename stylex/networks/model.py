"""The four networks of StylEx together, their conditioning ([L] 3.2, [V] 4.1), and their file."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from stylex.artifacts import load_tensors, save_tensors
from stylex.config import StylexConfig
from stylex.errors import ArtifactError
from stylex.networks.discriminator import Discriminator, Encoder
from stylex.networks.synthesis import Mapping, Synthesis


class StylexNetworks(nn.Module):
    """Encoder E, mapping M, synthesis G and discriminator D of one experiment."""

    def __init__(self, config: StylexConfig, resolution: int, image_channels: int, classes: int) -> None:
        """`resolution`: side of the images; `classes`: outputs of the explained classifier."""
        super().__init__()
        sizes = config.networks
        self.config, self.resolution, self.image_channels, self.classes = config, resolution, image_channels, classes
        self.condition_dim = 0 if config.conditioning == "none" else classes
        widths = sizes.widths("encoder", resolution)
        self.encoder = Encoder(image_channels, widths, sizes.latent_dim, sizes.downsampling)
        self.mapping = Mapping(sizes.latent_dim, sizes.mapping_layers, sizes.mapping_lr_multiplier)
        widths, w_plus_dim = sizes.widths("generator", resolution), sizes.latent_dim + self.condition_dim
        drawing = sizes.to_rgb, sizes.noise, sizes.to_rgb_styles, sizes.edges, sizes.clamped
        condition = sizes.condition_coordinates if self.condition_dim else None, self.condition_dim
        self.synthesis = Synthesis(w_plus_dim, widths, image_channels, *drawing, *condition)
        outputs, widths = classes if config.conditional_discriminator else 1, sizes.widths("discriminator", resolution)
        self.discriminator = Discriminator(
            image_channels, widths, outputs, sizes.minibatch_stddev_group, sizes.downsampling
        )

    def conditioning(self, logits: Tensor) -> Tensor:
        """Return c(x) [N, condition_dim] of the classifier's logits [N, classes]."""
        if self.config.conditioning == "none":
            return logits.new_zeros(len(logits), 0)
        return logits.softmax(dim=1) if self.config.conditioning == "probabilities" else logits

    def w_plus(self, w: Tensor, logits: Tensor) -> Tensor:
        """Return concat(w, c): w [N, latent_dim] or [N, L, latent_dim], logits [N, classes]."""
        condition = self.conditioning(logits)
        if w.dim() == 3:
            condition = condition[:, None].expand(-1, w.shape[1], -1)
        return torch.cat([w, condition], dim=-1)


def build_networks(
    config: StylexConfig, resolution: int, image_channels: int, classes: int, seed: int
) -> StylexNetworks:
    """Return freshly initialised networks; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return StylexNetworks(config, resolution, image_channels, classes)


def save_stylex(path: Path, networks: StylexNetworks, header: dict[str, str]) -> None:
    """Write all weights and the fixed noise maps, with what `load_stylex` needs in the header."""
    save_tensors(path, networks.state_dict(), {**header, **shape_header(networks)})


def shape_header(networks: StylexNetworks) -> dict[str, str]:
    """Return the part of a file's header from which networks of these shapes are built."""
    shape = json.dumps({name: getattr(networks, name) for name in ("resolution", "image_channels", "classes")})
    return {"stylex_config": networks.config.model_dump_json(), "shape": shape}


def load_stylex(path: Path, device: torch.device | str = "cpu") -> StylexNetworks:
    """Load trained networks for analysis: eval mode, frozen, images as a file of them holds them.

    Raises `ArtifactError` when the file is missing, damaged or foreign.
    """
    return stylex_of(path, *load_tensors(path), device=device)


def stylex_of(
    path: Path,
    tensors: dict[str, Tensor],
    header: dict[str, str],
    device: torch.device | str,
    remedy: str = "run `stylex train` again",
) -> StylexNetworks:
    """Return the networks of a file's tensors and header; those of an export have no attribute `discriminator`."""
    try:
        config, shape = StylexConfig.model_validate_json(header["stylex_config"]), json.loads(header["shape"])
        networks = StylexNetworks(config, **shape)
        if not any(name.startswith("discriminator.") for name in tensors):
            del networks.discriminator
        networks.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"{path} does not hold StylEx networks ({reason}); {remedy}") from None
    networks.synthesis.quantized = True
    return networks.to(device).eval().requires_grad_(False)
