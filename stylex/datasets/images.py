"""Images of any size to squares of a fixed side, in bytes: used for whole datasets and for a user's own files.

One filter everywhere: Lanczos, applied with antialiasing (its support grows with the reduction) to the whole image as
the file has it: JPEG files are not decoded at a reduced scale.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy
import numpy.typing

from stylex.errors import ImageError

if TYPE_CHECKING:
    import torch
    from PIL import Image

Bytes = numpy.typing.NDArray[numpy.uint8]
Box = tuple[float, float, float, float]
MODES = {1: "L", 3: "RGB"}
# What Pillow raises for a damaged file, by format, beside its own DecompressionBombError.
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    struct.error,
    zlib.error,
)


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


def read_image(path: Path, channels: int, resolution: int, box: Box | None = None) -> torch.Tensor:
    """Read an image file as uint8 [channels, resolution, resolution], as `read_pixels` does.

    Raises `ImageError` when the file is missing, not an image, or damaged.
    """
    import torch

    pixels = numpy.empty((channels, resolution, resolution), numpy.uint8)
    if not path.exists():
        raise ImageError(f"{path} does not exist")
    try:
        read_pixels(path, pixels, box)
    except ImageError as error:
        raise ImageError(f"{path} cannot be read as an image: {error}; replace or remove it") from None
    return torch.from_numpy(pixels)


def read_pixels(path: Path, pixels: Bytes, box: Box | None = None) -> None:
    """Read an image file into `pixels` [channels, side, side]: upright, grey or RGB, resized.

    box: left, upper, right, lower in pixels of the upright image; its central square is taken, as far as it lies in the
    image; None: that of the whole image. Raises `ImageError` with the reason, without the path.
    """
    from PIL import Image

    try:
        with Image.open(path) as file:
            image = _upright(file, MODES[len(pixels)])
        square = _square(image.size, box)
        if square != (0, 0, *pixels.shape[1:]) or image.size != pixels.shape[1:]:
            image = image.resize(pixels.shape[1:], Image.Resampling.LANCZOS, square)
    except (*DAMAGED, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = (error.strerror or reason) if isinstance(error, OSError) else reason
        raise ImageError(reason.replace(str(path), path.name)) from None
    for channel, band in zip(pixels, image.mode, strict=True):
        channel[:] = numpy.frombuffer(image.tobytes("raw", band), numpy.uint8).reshape(channel.shape)


def _upright(file: Image.Image, mode: str) -> Image.Image:
    """Return the whole image, turned as its EXIF orientation says, in `mode`."""
    from PIL import Image, ImageOps

    ImageOps.exif_transpose(file, in_place=True)
    if file.mode.startswith("I;16"):  # Pillow clips 16 bits where it should scale them
        file = Image.fromarray((numpy.asarray(file) >> 8).astype(numpy.uint8))
    elif file.mode in ("I", "F"):
        raise ValueError(f"its pixels are of mode {file.mode}, which has no fixed range; save it with 8 or 16 bits")
    return file.convert(mode)


def _square(size: tuple[int, int], box: Box | None) -> Box:
    """Return the central square of the part of `box` that lies in an image of `size`."""
    left, upper, right, lower = box or (0, 0, *size)
    left, upper, right, lower = max(left, 0), max(upper, 0), min(right, size[0]), min(lower, size[1])
    side = min(right - left, lower - upper)
    if side <= 0:
        raise ValueError(f"the box {box} lies outside of the image of {size[0]} x {size[1]} pixels")
    left, upper = left + (right - left - side) / 2, upper + (lower - upper - side) / 2
    return left, upper, left + side, upper + side
