"""Grad-CAM (Selvaraju et al. 2017), which [L] figure 2 compares with: where in the image the evidence for a class lies.

The maps are those of the classifier's last convolutional stage; the computation is captum's.
"""

from __future__ import annotations

from typing import cast

import numpy
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from torch import Tensor

from stylex.classifiers import Classifier
from stylex.figures.tiles import Image, rgb

HEAT = "inferno"  # brightness rises with the value: read with any colour vision, and in grey
STRONGEST = 0.75  # of the heat over the image


def grad_cam(classifier: Classifier, images: Tensor, classes: Tensor) -> Tensor:
    """Return heat maps [N, H, W] in [0, 1] of `classes` [N]; images [N, C, H, W] in [-1, 1] on the classifier's device.

    Each map is scaled to a largest value of 1; one without positive evidence is 0. The classifier is left as it is:
    frozen parameters take no gradient, the copied images do.
    """
    from captum.attr import LayerAttribution, LayerGradCam

    method = LayerGradCam(classifier, classifier.network.stages[-1])
    asked = images.detach().clone().requires_grad_()
    maps = cast(Tensor, method.attribute(asked, target=classes.to(images.device), relu_attributions=True)).detach()
    sides = images.shape[2], images.shape[3]
    heat = cast(Tensor, LayerAttribution.interpolate(maps, sides, interpolate_mode="bilinear"))[:, 0]
    return heat / heat.amax(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(heat.dtype).tiny)


def overlay(image: Image, heat: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
    """Return [H, W, 3] in [0, 1]: the image in grey under the heat map [H, W], which covers it the more the hotter."""
    grey = rgb(image).mean(axis=2, keepdims=True)
    colours = colormaps[HEAT](heat)[..., :3]
    cover = STRONGEST * heat[..., None]
    return ((1 - cover) * grey + cover * colours).astype(numpy.float32)
