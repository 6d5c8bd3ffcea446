"""MobileNetV1 (Howard et al. 2017, table 1), the classifier of [L]: Lang et al. 2021, [V] 4.3.

ReLU6, and batch normalisation with epsilon 0.001, as in the code that Howard et al. released; its slow running mean
(0.9997) is not taken over: trainings here are short. Layers have the names of Keras's MobileNet, so that weights are
matched by name: `conv1`, `conv_dw_1` … `conv_pw_13`, and `_bn` after each; `conv_preds` is our head. A convolution with
stride 2 pads as TensorFlow does, below and to the right, or published weights would see images moved by a pixel.

Table 1 gives the last depthwise convolution stride 2 and an output as large as its input: the stride is 1.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeAlias

from torch import Tensor, nn
from torch.nn import functional as F

Activation: TypeAlias = type[nn.ReLU6] | type[nn.ReLU]
STEM = 32
# Rows of table 1 from the second on: channels after the block, stride of its depthwise convolution.
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip
CUTS = (0, 1, 3, 5, 11, 13)  # before the block that halves the resolution
EPSILON = 0.001


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


def mobilenet_v1_stages(
    channels: int, width: float, published: bool, activation: Activation = nn.ReLU6
) -> tuple[list[nn.Module], int]:
    """Return five stages and the width of the last; `width` is alpha, `published` keeps the first two halvings."""
    widths = [max(1, int(count * width)) for count in (STEM, *(row[0] for row in BLOCKS))]
    layers = _normalised("conv1", SameConv2d(channels, widths[0], 2 if published else 1), activation)
    stages: list[nn.Module] = []
    for first, last in zip(CUTS, CUTS[1:], strict=False):
        for block in range(first, last):
            stride = BLOCKS[block][1] if published or block != CUTS[1] else 1
            layers |= _separable(block + 1, widths[block], widths[block + 1], stride, activation)
        stages.append(nn.Sequential(layers))
        layers = OrderedDict()
    return stages, widths[-1]


def _separable(
    number: int, source: int, target: int, stride: int, activation: Activation
) -> OrderedDict[str, nn.Module]:
    """Return a depthwise and a pointwise convolution (figure 3, right), each normalised and rectified."""
    depthwise = SameConv2d(source, source, stride, groups=source)
    pointwise = nn.Conv2d(source, target, 1, bias=False)
    first = _normalised(f"conv_dw_{number}", depthwise, activation)
    return first | _normalised(f"conv_pw_{number}", pointwise, activation)


def _normalised(name: str, convolution: nn.Conv2d, activation: Activation) -> OrderedDict[str, nn.Module]:
    normalisation = nn.BatchNorm2d(convolution.out_channels, eps=EPSILON)
    return OrderedDict({name: convolution, f"{name}_bn": normalisation, f"{name}_relu": activation(inplace=True)})
