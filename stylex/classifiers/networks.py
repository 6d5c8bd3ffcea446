"""Networks by name: ResNet-18, MobileNetV2 of torchvision's own blocks, MobileNetV1, and those of timm.

With the published stem they are the published networks (He et al. 2016, table 1; Sandler et al. 2018, table 2). Two
changes make the small stem, both because images of 32x32 are not of 224x224: the first convolution is 3x3 with stride
1, and the next halving (ResNet's max pooling, the stride of MobileNetV2's second stage) is left out. Channel counts are
multiplied by `width`; at width 1 the parameters are those of torchvision, in the same order. Importing torchvision
takes as long as importing torch, so only what needs it does so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylex.classifiers.image_network import IMAGENET, UNIT, ImageNetwork
from stylex.classifiers.mobilenet_v1 import mobilenet_v1_stages
from stylex.classifiers.timm_network import timm_network
from stylex.config.finetuning import TIMM, Stem

RESNET18_PLANES = (64, 128, 256, 512)
# Table 2 of MobileNetV2, a row a stage: expansion, channels, blocks, stride of the first block (24 channels: 1, not 2).
MOBILENET_V2_TABLE = (
    [1, 16, 1, 1], [6, 24, 2, 1], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1],
)  # fmt: skip
MOBILENET_V2_CUTS = (0, 2, 4, 7, 14, 19)  # before the block that halves the resolution (or halved it at 224x224)


def build_network(
    architecture: str,
    channels: int,
    classes: int,
    width: float,
    stem: Stem = "small",
    published_inputs: bool = False,
) -> ImageNetwork:
    """Build a network for images of `channels` channels, initialised from torch's global generator.

    published_inputs: the first step makes images three channels and normalises them as the published weights want
    them. Raises `KeyError` for an unknown architecture of ours, `ConfigError` for one of timm's.
    """
    if architecture.startswith(TIMM):
        return timm_network(architecture, channels, classes, published_inputs)
    inputs = 3 if published_inputs else channels
    stages, features = STAGES[architecture](inputs, width, stem == "published")
    statistics = UNIT if architecture.startswith("mobilenet_v1") else IMAGENET
    network = ImageNetwork(stages, features, classes, statistics if published_inputs else None)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    return network


def _resnet18(channels: int, width: float, published: bool) -> tuple[list[nn.Module], int]:
    """Return the stages (stem, conv2_x … conv5_x) and the width of the last."""
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


def _mobilenet_v2(channels: int, width: float, published: bool) -> tuple[list[nn.Module], int]:
    """Return the stages (small stem, 32x32 images: 32x32 twice, 16x16, 8x8, 4x4) and the width of the last."""
    from torchvision.models.mobilenetv2 import MobileNetV2

    table = [list(row) for row in MOBILENET_V2_TABLE]
    table[1][3] = 2 if published else 1
    whole = MobileNetV2(width_mult=width, inverted_residual_setting=table)
    stem = whole.features[0]
    assert isinstance(stem, nn.Sequential)
    first = stem[0]
    assert isinstance(first, nn.Conv2d)
    stem[0] = nn.Conv2d(channels, first.out_channels, 3, 2 if published else 1, padding=1, bias=False)
    cuts = zip(MOBILENET_V2_CUTS, MOBILENET_V2_CUTS[1:], strict=False)
    return [whole.features[first:last] for first, last in cuts], whole.last_channel


STAGES: dict[str, Callable[[int, float, bool], tuple[list[nn.Module], int]]] = {
    "resnet18": _resnet18,
    "mobilenet_v2": _mobilenet_v2,
    "mobilenet_v1": mobilenet_v1_stages,
    # As in the model that the authors of [L] released.
    "mobilenet_v1_relu": functools.partial(mobilenet_v1_stages, activation=nn.ReLU),
}
