"""Networks by name: ResNet-18, MobileNetV2 of torchvision's own blocks, MobileNetV1, and convolutional ones of timm.

With the published stem they are the published networks (He et al. 2016, table 1; Sandler et al. 2018, table 2; Howard
et al. 2017, table 1). The small stem, for images of 32x32 instead of 224x224, has a first convolution of 3x3 with
stride 1 and leaves out the next halving. Channel counts are multiplied by `width`; at width 1 the parameters are those
of torchvision, in the same order. torchvision and timm take long to import: only what needs them does so.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylex.config.finetuning import TIMM, Stem
from stylex.config.loading import unknown_name
from stylex.errors import ConfigError

Statistics: TypeAlias = tuple[Sequence[float], Sequence[float]]  # mean and sd of each channel of images in [0, 1]
IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # of torchvision's published weights
UNIT: Statistics = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # [-1, 1], of TensorFlow's MobileNet
RESNET18_PLANES = (64, 128, 256, 512)
# Table 2 of MobileNetV2, a row a stage: expansion, channels, blocks, stride of the first block (24 channels: 1, not 2).
MOBILENET_V2_TABLE = (
    [1, 16, 1, 1], [6, 24, 2, 1], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1],
)  # fmt: skip
MOBILENET_V2_CUTS = (0, 2, 4, 7, 14, 19)  # before the block that halves the resolution (or halved it at 224x224)
# Table 1 of MobileNetV1 from its second row on: channels after the block, stride of its depthwise convolution. The
# paper gives the last one stride 2 and an output as large as its input: the stride is 1.
MOBILENET_V1_STEM = 32
MOBILENET_V1_TABLE = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip
MOBILENET_V1_CUTS = (0, 1, 3, 5, 11, 13)
MOBILENET_V1_EPSILON = 0.001  # of batch normalisation, as in the code that Howard et al. released
Stages: TypeAlias = tuple[list[nn.Module], int]  # and the width of the last


class ImageNetwork(nn.Module):
    """A classification network cut into stages, so that one definition gives maps, embedding and logits.

    statistics: its first step makes images three channels and normalises them by these.
    """

    centre: Tensor | None
    spread: Tensor | None

    def __init__(
        self, stages: Sequence[nn.Module], features: int, classes: int, statistics: Statistics | None = None
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.head = nn.Linear(features, classes)
        centre = spread = None
        if statistics is not None:  # of images in [-1, 1], not in [0, 1]
            mean, sd = (torch.tensor(values).reshape(3, 1, 1) for values in statistics)
            centre, spread = 2 * mean - 1, 2 * sd
        self.register_buffer("centre", centre, persistent=False)  # known by the description, not by the weights
        self.register_buffer("spread", spread, persistent=False)

    def preprocess(self, images: Tensor) -> Tensor:
        """Return images [N, C, H, W] in [-1, 1] as the first stage takes them; grey ones in three equal channels."""
        if self.centre is not None and self.spread is not None:
            images = (images.expand(-1, 3, -1, -1) - self.centre) / self.spread
        if images.shape[1] == 1:  # fits both layouts: the strides name channels-last, or convolutions choose the slower
            return images.reshape(len(images), *images.shape[2:], 1).permute(0, 3, 1, 2)
        return images.contiguous(memory_format=torch.channels_last)

    def maps(self, images: Tensor, count: int) -> list[Tensor]:
        """Map images [N, C, H, W] in [-1, 1] to the first `count` stages' outputs [N, Ci, Hi, Wi], finest first."""
        hidden, maps = self.preprocess(images), []
        for stage in self.stages[:count]:
            hidden = stage(hidden)
            maps.append(hidden)
        return maps

    def embedding(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to penultimate features [N, D]: the spatial mean of the last stage."""
        return self.maps(images, len(self.stages))[-1].mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to logits [N, classes]."""
        return self.head(self.embedding(images))


def build_network(
    architecture: str,
    channels: int,
    classes: int,
    width: float,
    stem: Stem = "small",
    published_inputs: bool = False,
) -> ImageNetwork:
    """Build a network for images of `channels` channels, initialised from torch's global generator.

    published_inputs: images become three channels, normalised as the published weights want them. Raises `KeyError` for
    an unknown architecture of ours, `ConfigError` for one of timm's.
    """
    inputs = 3 if published_inputs else channels
    if architecture.startswith(TIMM):
        return _timm_network(architecture, inputs, classes, published_inputs)
    stages, features = STAGES[architecture](inputs, width, stem == "published")
    statistics = UNIT if architecture.startswith("mobilenet_v1") else IMAGENET
    network = ImageNetwork(stages, features, classes, statistics if published_inputs else None)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    return network


def _resnet18(channels: int, width: float, published: bool) -> Stages:
    planes = [max(1, round(count * width)) for count in RESNET18_PLANES]
    size, stride, padding = (7, 2, 3) if published else (3, 1, 1)
    stem = nn.Conv2d(channels, planes[0], size, stride, padding, bias=False)
    stages: list[nn.Module] = [nn.Sequential(stem, nn.BatchNorm2d(planes[0]), nn.ReLU(inplace=True))]
    for source, target, step in zip([planes[0], *planes[:-1]], planes, (1, 2, 2, 2), strict=True):
        pooling = [nn.MaxPool2d(3, 2, padding=1)] if published and step == 1 else []
        stages.append(nn.Sequential(*pooling, BasicBlock(source, target, step), BasicBlock(target, target)))
    return stages, planes[-1]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016, figure 5, left)."""

    def __init__(self, source: int, target: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(source, target, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(target)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(target, target, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(target)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(Projection(source, target, stride), nn.BatchNorm2d(target))

    def forward(self, input: Tensor) -> Tensor:
        """Map [N, source, H, W] to [N, target, H / stride, W / stride]."""
        shortcut = input if self.downsample is None else self.downsample(input)
        output = self.relu(self.bn1(self.conv1(input)))
        return self.relu(self.bn2(self.conv2(output)) + shortcut)


class Projection(nn.Conv2d):
    """1x1 convolution of every `step`-th pixel: what a stride does.

    torch 2.14.1 on a CPU: the float32 backward pass of the strided form, channels-last, with an odd batch and two
    threads, ends in a segmentation fault. Pooling one pixel keeps the layout on the way back; a slice does not.
    """

    def __init__(self, source: int, target: int, step: int) -> None:
        super().__init__(source, target, 1, bias=False)
        self.step = step

    def forward(self, input: Tensor) -> Tensor:
        """Map [N, source, H, W] to [N, target, H / step, W / step]."""
        return super().forward(F.avg_pool2d(input, 1, self.step))


def _mobilenet_v2(channels: int, width: float, published: bool) -> Stages:
    from torchvision.models.mobilenetv2 import MobileNetV2

    table = [list(row) for row in MOBILENET_V2_TABLE]
    table[1][3] = 2 if published else 1
    whole = MobileNetV2(width_mult=width, inverted_residual_setting=table)
    stem: Any = whole.features[0]
    stem[0] = nn.Conv2d(channels, stem[0].out_channels, 3, 2 if published else 1, padding=1, bias=False)
    cuts = zip(MOBILENET_V2_CUTS, MOBILENET_V2_CUTS[1:], strict=False)
    return [whole.features[first:last] for first, last in cuts], whole.last_channel


class SameConv2d(nn.Conv2d):
    """3x3 convolution without bias, padded as TensorFlow's 'SAME': at stride 2, an odd pixel goes below and right."""

    def __init__(self, source: int, target: int, stride: int, groups: int = 1) -> None:
        super().__init__(source, target, 3, stride, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """Map [N, source, H, W] to [N, target, ceil(H / stride), ceil(W / stride)]."""
        margins = []
        for size in (input.shape[3], input.shape[2]):
            outputs = -(-size // self.stride[0])
            margin = max(0, (outputs - 1) * self.stride[0] + 3 - size)
            margins += [margin // 2, margin - margin // 2]
        return super().forward(F.pad(input, margins))


def _mobilenet_v1(
    channels: int, width: float, published: bool, activation: Callable[..., nn.Module] = nn.ReLU6
) -> Stages:
    """Return MobileNetV1 with the layer names of Keras, so that its weights are matched by name; `width` is alpha."""

    def normalised(name: str, convolution: nn.Conv2d) -> OrderedDict[str, nn.Module]:
        normalisation = nn.BatchNorm2d(convolution.out_channels, eps=MOBILENET_V1_EPSILON)
        return OrderedDict({name: convolution, f"{name}_bn": normalisation, f"{name}_relu": activation(inplace=True)})

    counts = (MOBILENET_V1_STEM, *(row[0] for row in MOBILENET_V1_TABLE))
    widths = [max(1, int(count * width)) for count in counts]
    layers = normalised("conv1", SameConv2d(channels, widths[0], 2 if published else 1))
    stages: list[nn.Module] = []
    for block, (_, table_stride) in enumerate(MOBILENET_V1_TABLE):
        source, target = widths[block], widths[block + 1]
        stride = table_stride if published or block != MOBILENET_V1_CUTS[1] else 1
        layers |= normalised(f"conv_dw_{block + 1}", SameConv2d(source, source, stride, groups=source))
        layers |= normalised(f"conv_pw_{block + 1}", nn.Conv2d(source, target, 1, bias=False))
        if block + 1 in MOBILENET_V1_CUTS:
            stages.append(nn.Sequential(layers))
            layers = OrderedDict()
    return stages, widths[-1]


STAGES: dict[str, Callable[[int, float, bool], Stages]] = {
    "resnet18": _resnet18,
    "mobilenet_v2": _mobilenet_v2,
    "mobilenet_v1": _mobilenet_v1,
    "mobilenet_v1_relu": functools.partial(_mobilenet_v1, activation=nn.ReLU),  # as in the model [L] released
}


class TimmFeatures(nn.Module):
    """A timm model without its classifier, giving maps [N, C, H, W]."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"

    def forward(self, images: Tensor) -> Tensor:
        """Map images as timm takes them to the last maps."""
        hidden = self.model.forward_features(images)
        return hidden.permute(0, 3, 1, 2) if self.channels_last else hidden


class TimmNetwork(ImageNetwork):
    """A timm model as one stage, and a linear head on what timm pools."""

    def embedding(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to penultimate features [N, D], pooled as timm pools them."""
        features: Any = self.stages[0]
        maps = self.maps(images, 1)[0]
        return features.model.forward_head(
            maps.permute(0, 2, 3, 1) if features.channels_last else maps, pre_logits=True
        )


def _timm_network(architecture: str, inputs: int, classes: int, normalised: bool) -> TimmNetwork:
    """Build `timm:<name>`; its features must be maps (those of vision transformers are tokens)."""
    try:
        import timm
    except ModuleNotFoundError:
        raise ConfigError(f"architecture '{architecture}' needs the package timm: pip install timm") from None
    name = architecture.removeprefix(TIMM)
    if not timm.is_model(name.split(".")[0]):
        message = unknown_name("model of timm", name, timm.list_models())
        if len(message) >= 200:
            message = f"unknown model of timm '{name}'; timm.list_models() lists them"
        raise ConfigError(f"architecture '{architecture}': {message}")
    try:
        model: Any = timm.create_model(name, pretrained=False, num_classes=0, in_chans=inputs)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"architecture '{architecture}': timm says: {' '.join(str(error).split())[:120]}") from None
    published, features = model.pretrained_cfg, TimmFeatures(model).eval()
    with torch.no_grad():
        if features(torch.zeros(1, inputs, *published["input_size"][1:])).dim() != 4:
            raise ConfigError(
                f"architecture '{architecture}' gives tokens, not maps, which Grad-CAM needs; choose a convolutional"
                " model"
            )
    statistics = (published["mean"], published["std"]) if normalised else None
    return TimmNetwork([features.train()], model.head_hidden_size, classes, statistics)


def translate(images: Tensor, shifts: Tensor) -> Tensor:
    """Move each image of [N, C, H, W] by its own shift [N, 2] (rows down, columns right; pixels), edges replicated."""
    height, width = images.shape[2:]
    rows = (torch.arange(height, device=images.device) - shifts[:, :1]).clamp(0, height - 1)  # [N, H]: source rows
    columns = (torch.arange(width, device=images.device) - shifts[:, 1:]).clamp(0, width - 1)  # [N, W]
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
