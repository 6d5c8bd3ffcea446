"""The shapes of the networks of StylEx, and the notations in which their widths are given.

Part of the one definition of an experiment in `stylex.config.models`; [V]: the code of van de Geijn et al. 2022.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from stylex.config.analysis import Positive, Rate, Section


class CapacityWidths(Section):
    """Widths as in the code of [V]: 2 x capacity x resolution / s channels at s x s (D, E: 4 x), at most `fmap_max`."""

    capacity: Positive
    fmap_max: Positive

    def at(self, side: int, resolution: int, generator: bool) -> int:
        """Return the channels at side x side of images of `resolution`."""
        return min(self.fmap_max, self.capacity * (2 if generator else 4) * resolution // side)


class BaseWidths(Section):
    """Widths as in StyleGAN2: channel_base / s channels at s x s, at most `channel_max`."""

    channel_base: Positive
    channel_max: Positive

    def at(self, side: int, resolution: int, generator: bool) -> int:
        """Return the channels at side x side, whatever the resolution and the network."""
        return max(1, min(self.channel_max, self.channel_base // side))


# Tags of the notations in which widths are given; no key is called so.
LIST = "<list>"
NOTATIONS: dict[str, type[Section]] = {"<capacity>": CapacityWidths, "<base>": BaseWidths}


def _notation(value: object) -> str | None:
    """Return the notation in which widths are given, told by keys that may be misspelt; None: in no known one."""
    if isinstance(value, list):
        return LIST
    keys = [str(key) for key in dict(value)] if isinstance(value, (dict, Section)) else []

    def known(notation: str) -> int:
        return sum(bool(get_close_matches(key, NOTATIONS[notation].model_fields)) for key in keys)

    best = max(NOTATIONS, key=known)
    return best if known(best) else None


Widths = Annotated[
    Annotated[list[Positive], Tag(LIST)]
    | Annotated[CapacityWidths, Tag("<capacity>")]
    | Annotated[BaseWidths, Tag("<base>")],
    Discriminator(
        _notation,
        custom_error_type="widths",
        custom_error_message="give a list of channels, capacity and fmap_max, or channel_base and channel_max",
    ),
]


class NetworksConfig(Section):
    """Widths and depths of the generator, encoder, discriminator and mapping network."""

    latent_dim: Positive = Field(description="Dimension of z and of w.")
    mapping_layers: Positive
    mapping_lr_multiplier: Rate
    generator_channels: Widths = Field(
        description="Channels at 4x4, 8x8, … up to the image's resolution: a list,"
        " {capacity, fmap_max} as in the code of [V] or {channel_base, channel_max} as in StyleGAN2."
    )
    encoder_channels: Widths
    discriminator_channels: Widths
    minibatch_stddev_group: Positive
    downsampling: Literal["fir", "box"] = Field(
        "fir", description="fir: StyleGAN2's filter in D and E; box: 2x2 means."
    )
    to_rgb: Literal["skip", "last"] = Field(
        "skip", description="skip: an image at every resolution, summed; last: at the full resolution only."
    )
    to_rgb_styles: Literal["w_plus", "learned"] = Field(
        "w_plus",
        description="w_plus: as in StyleGAN2, beside StyleSpace; learned: the same for all images, so that all that an"
        " image shows lies in StyleSpace, where AttFind searches.",
    )
    condition_coordinates: Positive | None = Field(
        None,
        description="As many coordinates of StyleSpace, spread evenly over the layers, depend on the condition alone,"
        " and all others, with the styles of ToRGB, on w alone; default: all depend on both, as in the papers.",
    )
    noise: bool = Field(True, description="A noise map for every layer of the generator.")
    edges: Literal["repeat", "zeros"] = Field(
        "repeat", description="What lies outside of what the generator upsamples: its edge, or zeros as in StyleGAN2."
    )
    clamped: bool = Field(
        False, description="The generator's images are cut off at -1 and 1 before anything sees them, as in [N]."
    )

    def widths(self, network: Literal["generator", "encoder", "discriminator"], resolution: int) -> list[int]:
        """Return the channels of a network at 4x4, 8x8, … up to the resolution."""
        channels = getattr(self, f"{network}_channels")
        if isinstance(channels, list):
            return channels
        sides = [4 << block for block in range(resolution.bit_length() - 2)]
        return [channels.at(side, resolution, network == "generator") for side in sides]

    def style_space(self, resolution: int) -> int:
        """Return K, the number of coordinates of StyleSpace: the inputs of all styled convolutions but ToRGB's."""
        widths = self.widths("generator", resolution)
        return widths[0] + sum(lower + upper for lower, upper in zip(widths, widths[1:], strict=False))
