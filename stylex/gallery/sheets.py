"""Pictures of the gallery as data URIs: a page that is opened from a disk may not read the pixels of other files."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy
import torch
from matplotlib import colormaps
from PIL import Image
from torch import Tensor

from stylex.quantization import to_uint8

LOSSLESS = 64  # the largest side of images that are kept as they are
QUALITY = 92  # of WebP, of larger ones
LARGEST = 256  # side of a frame: larger images are shown smaller
COLOURS = colormaps["magma"]  # as in the figures


def sheet_uri(images: Tensor, columns: int) -> str:
    """Return images [F, C, H, W] in [-1, 1] in rows of `columns`, as one picture."""
    frames = to_uint8(images).permute(0, 2, 3, 1)
    missing = -len(frames) % columns
    frames = torch.cat([frames, frames.new_zeros(missing, *frames.shape[1:])])
    _, height, width, channels = frames.shape
    rows = frames.reshape(-1, columns, height, width, channels).transpose(1, 2)
    return _uri(rows.reshape(-1, columns * width, channels).numpy(), height)


def thumbnail_uri(image: Tensor) -> str:
    """Return one image [C, H, W] in [-1, 1] as a picture."""
    return _uri(to_uint8(image).permute(1, 2, 0).numpy(), image.shape[1])


def map_uri(change: Tensor, most: float) -> str | None:
    """Return a map [H, W] in [0, most] as a picture that covers where it is large; None: there is no map."""
    if not most > 0 or not change.isfinite().all():
        return None
    share = (change / most).clamp(0, 1).numpy()
    pixels = numpy.round(255 * COLOURS(share)).astype(numpy.uint8)
    pixels[..., 3] = numpy.round(255 * numpy.sqrt(share))
    return _webp(_smaller(Image.fromarray(pixels), len(pixels)), lossless=True, exact=True)


def _uri(pixels: Any, side: int) -> str:
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    if side <= LOSSLESS:
        return _webp(picture, lossless=True)
    return _webp(_smaller(picture, side), quality=QUALITY, method=4)


def _smaller(picture: Image.Image, side: int) -> Image.Image:
    """Return a picture of frames of this side with frames of at most `LARGEST`."""
    return picture if side <= LARGEST else picture.reduce(side // LARGEST)


def _webp(picture: Image.Image, **options: Any) -> str:
    target = io.BytesIO()
    picture.save(target, "WEBP", **options)
    return f"data:image/webp;base64,{base64.b64encode(target.getvalue()).decode()}"
