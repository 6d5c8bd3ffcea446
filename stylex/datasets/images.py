"""Images of any size to squares of a fixed side, in bytes: used for whole datasets and for a user's own files.

One filter everywhere: Lanczos, applied with antialiasing (its support grows with the reduction) to the whole image as
the file has it: JPEG files are not decoded at a reduced scale.
"""

from __future__ import annotations

import os
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy
import numpy.typing

from stylex.datasets.rendering import DEFAULT, Rendering, Seen, render
from stylex.errors import ImageError

if TYPE_CHECKING:
    import torch

Bytes = numpy.typing.NDArray[numpy.uint8]
Box = tuple[float, float, float, float]
MODES = {1: "L", 3: "RGB"}
TOLD = (OSError, SyntaxError, ValueError)  # what Pillow raises with words that say enough
SPOKEN = (UserWarning, RuntimeWarning)  # what Pillow warns of; not what other code has left open
KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}


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


def read_image(
    path: Path, channels: int, resolution: int, box: Box | None = None, rendering: Rendering = DEFAULT
) -> tuple[torch.Tensor, Seen]:
    """Read an image file as uint8 [channels, resolution, resolution], as `read_pixels` does, and say what was seen.

    Raises `ImageError` when the file is missing, not an image, or damaged.
    """
    import torch

    pixels = numpy.empty((channels, resolution, resolution), numpy.uint8)
    if not os.path.exists(path):
        raise ImageError(f"{path} does not exist")
    try:
        seen = read_pixels(path, pixels, box, rendering)
    except ImageError as error:
        raise ImageError(f"{path} cannot be read as an image: {error}; replace or remove it") from None
    return torch.from_numpy(pixels), seen


def read_pixels(path: Path, pixels: Bytes, box: Box | None = None, rendering: Rendering = DEFAULT) -> Seen:
    """Read an image file into `pixels` [channels, side, side]: upright, opaque, grey or RGB, resized.

    box: left, upper, right, lower in pixels of the upright image; its central square is taken, as far as it lies in the
    image; None: that of the whole image. Raises `ImageError` with the reason, without the path.
    """
    from PIL import Image

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            _check_regular(path)
            with Image.open(path) as file:
                image, seen = render(file, MODES[len(pixels)], rendering)
            square = _square(image.size, box)
            if square != (0, 0, *pixels.shape[1:]) or image.size != pixels.shape[1:]:
                image = image.resize(pixels.shape[1:], Image.Resampling.LANCZOS, square)
        except Exception as error:  # of a damaged file, Pillow raises almost anything
            raise ImageError(_reason(path, error)) from None
    for channel, band in zip(pixels, image.mode, strict=True):
        channel[:] = numpy.frombuffer(image.tobytes("raw", band), numpy.uint8).reshape(channel.shape)
    return seen._replace(warnings=tuple(_text(each.message) for each in said if issubclass(each.category, SPOKEN)))


def _check_regular(path: Path) -> None:
    """Raise `ValueError` for what is no file: who reads a named pipe waits for ever."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise ValueError(f"it is {KINDS.get(stat.S_IFMT(mode), 'a device')} and no file")


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    reason = _text(error).replace(str(path), path.name)
    return reason if reason and isinstance(error, TOLD) else f"{type(error).__name__} {reason}".strip()


def _text(message: Warning | Exception | str) -> str:
    """Return what Pillow says in one line; of too many pixels, with a remedy in place of the danger for a server."""
    text = " ".join(str(message).split())
    return f"{text.split(',')[0]}: make it smaller" if "decompression bomb" in text else text


def _square(size: tuple[int, int], box: Box | None) -> Box:
    """Return the central square of the part of `box` that lies in an image of `size`."""
    left, upper, right, lower = box or (0, 0, *size)
    left, upper, right, lower = max(left, 0), max(upper, 0), min(right, size[0]), min(lower, size[1])
    side = min(right - left, lower - upper)
    if side <= 0:
        raise ValueError(f"the box {box} lies outside of the image of {size[0]} x {size[1]} pixels")
    left, upper = left + (right - left - side) / 2, upper + (lower - upper - side) / 2
    return left, upper, left + side, upper + side
