"""The section `stylex` of an experiment: the shapes of its networks, and by which losses and budget they are trained.

[L]: Lang et al. 2021; [V]: van der Vleuten et al. 2022, and the code of van de Geijn et al. 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from stylex.config.base import INCEPTION, Count, Fraction, Name, Positive, Precision, Rate, Section, Weight


class CapacityWidths(Section):
    """Widths as in the code of [V]: 2 x capacity x resolution / s channels at s x s (D, E: 4 x), at most `fmap_max`."""

    capacity: Positive = Field(description="Half of the generator's channels at the full resolution.")
    fmap_max: Positive = Field(description="The most channels of a layer.")

    def at(self, side: int, resolution: int, generator: bool) -> int:
        """Return the channels at side x side of images of `resolution`."""
        return min(self.fmap_max, self.capacity * (2 if generator else 4) * resolution // side)


class BaseWidths(Section):
    """Widths as in StyleGAN2: channel_base / s channels at s x s, at most `channel_max`."""

    channel_base: Positive = Field(description="Channels of a layer times its side.")
    channel_max: Positive = Field(description="The most channels of a layer.")

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
    mapping_layers: Positive = Field(description="Layers of the mapping network.")
    mapping_lr_multiplier: Rate = Field(
        description="Learning rate of the mapping network, relative to the generator's."
    )
    generator_channels: Widths = Field(
        description="Channels at 4x4, 8x8, … up to the image's resolution: a list, four numbers for 32x32; or a rule"
        " for any resolution. {capacity: 16, fmap_max: 512} is that of the code of [V]: 2 x capacity at the full"
        " resolution (4 x in encoder and discriminator), twice as many at every halving, at most fmap_max."
        " {channel_base: 16384, channel_max: 512} is StyleGAN2's: base / side, at most channel_max."
    )
    encoder_channels: Widths = Field(description="Of the encoder; see generator_channels.")
    discriminator_channels: Widths = Field(description="Of the discriminator; see generator_channels.")
    minibatch_stddev_group: Positive = Field(
        description="Images over which the discriminator takes a standard deviation; divides the batch size."
    )
    downsampling: Literal["fir", "box"] = Field(
        "fir", description="In encoder and discriminator. fir: the filter of StyleGAN2; box: means of 2x2 pixels."
    )
    to_rgb: Literal["skip", "last"] = Field(
        "skip",
        description="skip: an image at every resolution, all added up, as in StyleGAN2; last: one image, at the full"
        " resolution.",
    )
    to_rgb_styles: Literal["w_plus", "learned"] = Field(
        "w_plus",
        description="w_plus: the ToRGB layers have styles of their own, as in StyleGAN2, which AttFind does not search;"
        " learned: the same constants for all images, so that all that an image shows lies in StyleSpace.",
    )
    condition_coordinates: Positive | None = Field(
        None,
        description="As many coordinates of StyleSpace, spread evenly over the layers, depend on the condition alone,"
        " and all others, with the styles of ToRGB, on w alone: a move of one of them is what another condition would"
        " draw. Without it: all depend on both, as in the papers.",
    )
    noise: bool = Field(
        True, description="Every layer of the generator adds a random map: drawn anew in training, fixed in analyses."
    )
    edges: Literal["repeat", "zeros"] = Field(
        "repeat",
        description="What lies outside of what the generator upsamples. repeat: its edge; zeros: as in StyleGAN2's own"
        " code and in all presets of the papers.",
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
    """Weights of the terms of L_adv + L_reg + L_rec + L_cls ([L] 3.2); 0 switches a term off."""

    adversarial: Literal["logistic", "hinge"] = Field(
        "logistic", description="logistic: the non-saturating loss of StyleGAN2, as in [L]; hinge: the hinge loss."
    )
    r1_gamma: Weight = Field(description="R1 penalty of the discriminator at real images.")
    r1_interval: Positive = Field(description="Discriminator steps between two applications of R1.")
    path_length: Weight = Field(description="Path-length penalty of the generator.")
    path_length_interval: Positive = Field(description="Generator steps between two applications of that penalty.")
    path_length_decay: Rate = Field(description="Rate of the running mean of path lengths.")
    reconstruction_x: Weight = Field(description="L1 distance of pixels between an image and its reconstruction.")
    reconstruction_perceptual: Weight = Field(
        description="Perceptual distance between an image and its reconstruction; see stylex.perceptual."
    )
    reconstruction_w: Weight = Field(description="L1 distance of w between an image and its reconstruction.")
    classifier: Weight = Field(
        description="Divergence between the classifier's answers to the reconstruction and to the image."
    )
    mapping: Weight = Field(
        0.0,
        description="Energy distance between M(z) and E(x), on encoder steps: the mapping learns what w of an image is"
        " like. By the discriminator alone it takes more steps than a short training has. Neither paper has it.",
    )
    classifier_noise: Weight = Field(
        0.0,
        description="Divergence between the classifier's answer to a fake of a noise step and the condition given to"
        " the generator. [L] has it on encoder steps alone.",
    )
    classifier_divergence: Literal["forward", "reverse"] = Field(
        "forward", description="forward: KL(C(x') || C(x)) as in [L] 3.2; reverse: KL(C(x) || C(x'))."
    )


class DevicePrecision(Section):
    """Number format of the convolutions on each kind of device; weights, styles and losses are always float32."""

    cpu: Precision = Field(
        default="float32",
        description="On a CPU. auto: bfloat16 with AMX, and on AMD's with AVX-512 bfloat16, else float32. The result"
        " says which it was.",
    )
    cuda: Precision = Field(default="float32", description="On a GPU. auto: bfloat16 since Ampere, else float32.")


class AccelerationConfig(Section):
    """How a training step is computed; losses are the same but for roundings. What no GPU has been seen to gain is off.

    Convolutions are always channels-last: every layer is written for it.
    """

    readers: Count = Field(
        default=0,
        description="Threads that read the images of the next batches while a step is computed; 0: each step reads its"
        " own first. The images are the same.",
    )
    recompute: bool = Field(
        default=False,
        description="Of each layer of generator, encoder and discriminator keep only the output for the backward pass,"
        " and compute the rest again there: less memory, some more time. For 512 pixels and more.",
    )
    compile: bool = Field(
        default=False,
        description="torch.compile of the generator: a minute or so at the start, faster steps afterwards. On a CPU it"
        " needs g++.",
    )
    cuda_graphs: bool = Field(
        default=False,
        description="With compile, on a GPU: the compiled generator is recorded as CUDA graphs. Not tried yet.",
    )
    tf32: bool = Field(
        default=False,
        description="On a GPU: what is computed in float32 is multiplied in TF32, with a mantissa of 10 bits. Not tried"
        " yet.",
    )
    fused_adam: bool = Field(default=True, description="Adam as one operation an update.")

    @model_validator(mode="after")
    def _graphs(self) -> AccelerationConfig:
        if self.cuda_graphs and not self.compile:
            raise ValueError("cuda_graphs records what compile makes: set compile: true, or cuda_graphs: false")
        return self


class TrainingConfig(Section):
    """Budget, optimiser and bookkeeping of StylEx training."""

    images: Positive = Field(description="Real images shown in all; an image counts each time.")
    batch_size: Positive = Field(description="Images a step, over all processes.")
    accumulation: Positive = Field(
        1,
        description="Parts in which each process takes its share of a batch, one after the other: the same losses in"
        " less memory and more time.",
    )
    learning_rate: Rate = Field(
        description="Learning rate of the generator and the mapping. Weights are scaled as in StyleGAN2 (equalised"
        " learning rate), so rates are some ten times those of plain networks."
    )
    encoder_learning_rate: Rate = Field(description="Learning rate of the encoder.")
    discriminator_learning_rate: Rate | None = Field(
        None, description="Learning rate of the discriminator. Without it: learning_rate."
    )
    beta1: Annotated[float, Field(ge=0, lt=1)] = Field(description="First decay rate of Adam.")
    generator_beta1: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="beta1 of generator, mapping and encoder: reconstruction gains by momentum, an adversary does not."
        " Without it: beta1, as the discriminator's.",
    )
    beta2: Annotated[float, Field(ge=0, lt=1)] = Field(description="Second decay rate of Adam.")
    warmup_images: Count = Field(
        0,
        description="The learning rates rise linearly over so many images at the beginning. Neither paper has it.",
    )
    decay: Fraction = Field(
        0.0,
        description="The learning rates fall linearly to 0 over the last such part of the training; 0.5: the second"
        " half. With it a training of another length is another training, and starts anew. Neither paper has it.",
    )
    ema_half_life: Positive = Field(
        description="Of the averaged weights, in images; every analysis uses the averaged ones."
    )
    style_mixing: Fraction = Field(description="Probability of mixing two latents in a noise step.")
    counterfactuals: Fraction = Field(
        0.0,
        description="Part of the fakes of a noise step that are made of an image's w and of its condition with the"
        " answers for its class and for another exchanged: the generator learns to draw this image as the other class."
        " Neither paper has it.",
    )
    mixed_conditions: Fraction = Field(
        0.0,
        description="Probability that the condition_coordinates of a fake of a noise step take partly the one"
        " condition, partly the exchanged one, so that the discriminator sees what single moves draw.",
    )
    told: Literal["image", "fake"] = Field(
        "image",
        description="Which answer of the classifier conditions the discriminator on a fake. image: the generator's own"
        " condition, as in [L]; fake: the answer to the fake itself, which mixed conditions need.",
    )
    autoencoder_images: Count = Field(
        0,
        description="The first images of all train generator and encoder as an autoencoder, on the L1 distance of"
        " pixels alone (and the mapping on losses.mapping), without classifier and discriminator. Neither paper has"
        " it.",
    )
    alternating: bool = Field(True, description="Encoder and noise steps in turn; false: encoder steps only.")
    augment: list[Literal["translation", "cutout"]] = Field(
        [], description="DiffAugment of all that the discriminator sees. For small datasets."
    )
    max_translation: Count = Field(0, description="Random shift of real images, in pixels.")
    precision: DevicePrecision = DevicePrecision()
    cache_mib: Count = Field(
        512,
        description="Memory in MiB for the perceptual features of the training images: kept if all of them fit,"
        " otherwise computed at every step, as with max_translation.",
    )
    acceleration: AccelerationConfig = AccelerationConfig()
    checkpoint_interval: Positive = Field(description="Images between two checkpoints.")
    sample_interval: Positive = Field(description="Images between two rows of the history.")

    @model_validator(mode="before")
    @classmethod
    def _compile_moved(cls, content: Any) -> Any:
        """Take `compile` where it stood before there was a section for it: files of trained models have it."""
        if not isinstance(content, Mapping) or "compile" not in content:
            return content
        kept = {key: value for key, value in content.items() if key != "compile"}
        return {**kept, "acceleration": {"compile": content["compile"], **(content.get("acceleration") or {})}}

    @model_validator(mode="after")
    def _adversarial(self) -> TrainingConfig:
        if self.autoencoder_images >= self.images:
            raise ValueError(
                f"autoencoder_images {self.autoencoder_images} leaves none of the {self.images} images to the"
                " discriminator: lower it, or raise images"
            )
        return self


OF_CONDITION = {  # keys that conditioning none leaves at their defaults, which switch them off
    "networks": ("condition_coordinates",),
    "losses": ("classifier_noise",),
    "training": ("counterfactuals", "mixed_conditions", "told"),
}


class StylexConfig(Section):
    """The generator, its conditioning and its training."""

    conditioning: Literal["probabilities", "logits", "none"] = Field(
        description="What is appended to w. probabilities: the classifier's ([V] Model 2); logits: its logits ([V]"
        " Model 1); none: nothing, training without the classifier, which also needs conditional_discriminator: false"
        " and losses.classifier: 0. What is of the condition (condition_coordinates, losses.classifier_noise,"
        " training.counterfactuals, …) is then off, whatever a preset says."
    )
    conditional_discriminator: bool = Field(
        description="One output for each class, weighted by the classifier's probabilities, D(x, p) = sum_k p_k D_k(x)"
        " ([V] 4.1); false: one output."
    )
    networks: NetworksConfig
    losses: LossesConfig
    training: TrainingConfig
    perceptual_backbone: Name = Field(
        description="A file of config/backbones, of the same dataset and resolution: features for the perceptual loss"
        " and the Fréchet distance. Not inception, as tables call pytorch-fid's network so."
    )
    perceptual: Literal["backbone", "lpips-alex", "lpips-vgg"] = Field(
        "backbone",
        description="Perceptual loss and reconstruction error. backbone: distance in the features of that backbone;"
        " lpips-alex, lpips-vgg: LPIPS 0.1 with the published weights of AlexNet or VGG-16 and the heads of the package"
        " lpips. The backbone is trained all the same: the history's val_frechet_distance is in its features.",
    )
    lpips_weights: str | None = Field(
        None,
        description="A copy of torchvision's file of weights, relative to the project's folder or absolute. Without it:"
        " data/weights/alexnet.pth or vgg16.pth, downloaded.",
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
        sections = {name: content.get(name) or {} for name in OF_CONDITION}
        if not all(isinstance(section, Mapping) for section in sections.values()):
            return content  # which another validator refuses
        kept = {
            name: {key: value for key, value in section.items() if key not in OF_CONDITION[name]}
            for name, section in sections.items()
        }
        return {**content, **kept}

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
