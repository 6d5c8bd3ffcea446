"""The section `stylex` of an experiment: the shapes of its networks, and by which losses and budget they are trained.

[L]: Lang et al. 2021; [V]: van der Vleuten et al. 2022, and the code of van de Geijn et al. 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from stylex.config.base import INCEPTION, Name, Positive, Precision, Rate, Section, Weight


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


class LossesConfig(Section):
    """Weights of the terms of L_adv + L_reg + L_rec + L_cls ([L] 3.2)."""

    adversarial: Literal["logistic", "hinge"] = Field("logistic", description="logistic: non-saturating, StyleGAN2.")
    r1_gamma: Weight
    r1_interval: Positive = Field(description="Discriminator steps between two applications.")
    path_length: Weight
    path_length_interval: Positive = Field(description="Generator steps between two applications.")
    path_length_decay: Rate
    reconstruction_x: Weight
    reconstruction_perceptual: Weight
    reconstruction_w: Weight
    classifier: Weight
    mapping: Weight = Field(
        0.0, description="Of the energy distance between M(z) and E(x), by which M learns what w is of an image."
    )
    classifier_noise: Weight = Field(
        0.0, description="Of the divergence from what the generator was told, on noise steps, where [L] has none."
    )
    classifier_divergence: Literal["forward", "reverse"] = Field(
        "forward", description="forward: KL(C(x') || C(x)) as [L] 3.2; reverse: KL(C(x) || C(x'))."
    )


class DevicePrecision(Section):
    """Number format of the convolutions on each kind of device; weights, styles and losses are always float32."""

    cpu: Precision = "float32"
    cuda: Precision = "float32"


class TrainingConfig(Section):
    """Budget, optimiser and bookkeeping of StylEx training."""

    images: Positive = Field(description="Real images shown to the generator in all (an image counts each time).")
    batch_size: Positive = Field(description="Images a step, over all processes.")
    accumulation: Positive = Field(1, description="Parts in which each process takes its share of a batch.")
    learning_rate: Rate
    encoder_learning_rate: Rate
    discriminator_learning_rate: Rate | None = Field(None, description="Default: learning_rate.")
    beta1: Annotated[float, Field(ge=0, lt=1)]
    generator_beta1: Annotated[float, Field(ge=0, lt=1)] | None = Field(None, description="Of G, M, E; default: beta1.")
    beta2: Annotated[float, Field(ge=0, lt=1)]
    warmup_images: Annotated[int, Field(ge=0)] = Field(
        0, description="The learning rates rise linearly over as many images at the beginning."
    )
    decay: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="Last part of the training over which the learning rates fall linearly to 0."
    )
    ema_half_life: Positive = Field(description="In images.")
    style_mixing: Annotated[float, Field(ge=0, le=1)] = Field(description="Probability of mixing two latents.")
    counterfactuals: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0,
        description="Part of the fakes of a noise step that are made of an image's w and of its condition with the"
        " answers for its class and another exchanged: what an explanation will do to it.",
    )
    mixed_conditions: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0,
        description="Probability that the condition_coordinates of a fake of a noise step take now this condition, now"
        " the exchanged one, so that D sees what single moves of them draw.",
    )
    told: Literal["image", "fake"] = Field(
        "image", description="Whose answer of the classifier D is told of a fake: the image's ([L]), or the fake's own."
    )
    autoencoder_images: Annotated[int, Field(ge=0)] = Field(
        0, description="The first images of all train G and E as an autoencoder: on pixels alone, without C and D."
    )
    alternating: bool = Field(True, description="Alternate encoder and noise steps; false: encoder steps only.")
    augment: list[Literal["translation", "cutout"]] = Field([], description="DiffAugment of what D sees.")
    max_translation: Annotated[int, Field(ge=0)] = Field(0, description="Random shift of real images, pixels.")
    precision: DevicePrecision = DevicePrecision()
    cache_mib: Annotated[int, Field(ge=0)] = Field(
        512, description="Memory for the perceptual features of the real images, if all of them fit."
    )
    compile: bool = Field(False, description="torch.compile the generator: pays after some thousand steps.")
    checkpoint_interval: Positive = Field(description="Images between two checkpoints.")
    sample_interval: Positive = Field(description="Images between two rows of the history.")

    @model_validator(mode="after")
    def _adversarial(self) -> TrainingConfig:
        if self.autoencoder_images >= self.images:
            raise ValueError(
                f"autoencoder_images {self.autoencoder_images} leaves none of the {self.images} images to the"
                " discriminator: lower it, or raise images"
            )
        return self


WITHOUT_CONDITION = {  # what conditioning none switches off
    "networks": {"condition_coordinates": None},
    "losses": {"classifier_noise": 0.0},
    "training": {"counterfactuals": 0.0, "mixed_conditions": 0.0, "told": "image"},
}


class StylexConfig(Section):
    """The generator, its conditioning and its training."""

    conditioning: Literal["probabilities", "logits", "none"] = Field(
        description="c in w_plus = concat(w, c); none: StylEx without classifier-specific training."
    )
    conditional_discriminator: bool = Field(description="D(x, p) = sum_k p_k D_k(x) ([V] 4.1); false: one output.")
    networks: NetworksConfig
    losses: LossesConfig
    training: TrainingConfig
    perceptual_backbone: Name = Field(description="A file of config/backbones, without its ending.")
    perceptual: Literal["backbone", "lpips-alex", "lpips-vgg"] = Field(
        "backbone",
        description="Distance of L_rec: in the backbone's features, or LPIPS with that network's published weights.",
    )
    lpips_weights: str | None = Field(
        None, description="A copy of torchvision's AlexNet or VGG-16; default: downloaded to data/weights."
    )

    @property
    def lpips_network(self) -> Literal["alexnet", "vgg16"] | None:
        """The published weights that LPIPS needs, by name; None: it is not used."""
        networks: dict[str, Literal["alexnet", "vgg16"]] = {"lpips-alex": "alexnet", "lpips-vgg": "vgg16"}
        return networks.get(self.perceptual)

    @field_validator("perceptual_backbone")
    @classmethod
    def _own_name(cls, value: str) -> str:
        if value == INCEPTION:
            raise ValueError("in tables this name means pytorch-fid's network: give the backbone's file another one")
        return value

    @model_validator(mode="before")
    @classmethod
    def _without_condition(cls, content: Any) -> Any:
        """Switch off what is of the condition, where there is none: StylEx without it is the same in all else."""
        if not isinstance(content, Mapping) or content.get("conditioning") != "none":
            return content
        sections = {name: content.get(name) or {} for name in WITHOUT_CONDITION}
        if not all(isinstance(section, Mapping) for section in sections.values()):
            return content  # which another validator refuses
        return {**content, **{name: {**section, **WITHOUT_CONDITION[name]} for name, section in sections.items()}}

    @model_validator(mode="after")
    def _without_classifier(self) -> StylexConfig:
        if self.conditioning == "none" and (self.conditional_discriminator or self.losses.classifier):
            raise ValueError(
                "conditioning none is training without the classifier: "
                "set conditional_discriminator: false and losses.classifier: 0"
            )
        training = self.training
        if training.mixed_conditions and not self.networks.condition_coordinates:
            raise ValueError(
                "training.mixed_conditions is of networks.condition_coordinates: set them, or leave it out"
            )
        return self
