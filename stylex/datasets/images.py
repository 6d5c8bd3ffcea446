"""Images of any size to squares of a fixed side, in bytes: used for whole datasets and for a user's own files.

One filter everywhere: Lanczos, applied with antialiasing (its support grows with the reduction).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy
import numpy.typing

from stylex.errors import ImageError

if TYPE_CHECKING:
    import torch

Bytes = numpy.typing.NDArray[numpy.uint8]
MODES = {1: "L", 3: "RGB"}


def pad(images: Bytes, side: int) -> Bytes:
    """Centre images [N, H, W] on a background of zeros: [N, side, side]."""
    top, left = (side - images.shape[1]) // 2, (side - images.shape[2]) // 2
    bottom, right = side - images.shape[1] - top, side - images.shape[2] - left
    return numpy.pad(images, ((0, 0), (top, bottom), (left, right)))


def resize(images: Bytes, side: int) -> Bytes:
    """Resize grey images [N, H, W] to [N, side, side]; images of that size are returned as they are."""
    if images.shape[1:] == (side, side):
        return images
    from PIL import Image

    resized = numpy.empty((len(images), side, side), numpy.uint8)
    for index, image in enumerate(images):
        resized[index] = numpy.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))
    return resized


def read_image(path: Path, channels: int, resolution: int) -> torch.Tensor:
    """Read an image file as uint8 [channels, resolution, resolution]: upright, its central square, resized.

    Raises `ImageError` when the file is missing, not an image, or damaged.
    """
    import torch
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file).convert(MODES[channels])
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path} cannot be read as an image: {error}; replace or remove it") from None
    square = ImageOps.fit(image, (resolution, resolution), Image.Resampling.LANCZOS)
    pixels = numpy.array(square).reshape(resolution, resolution, channels)
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
