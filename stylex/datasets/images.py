"""An image file to a square of a fixed side, in 8 bits per channel without transparency.

Transparent pixels are put on a stated colour. Grey of 16 bits is scaled so that a stated value is white, as instruments
write 12 bits into files of 16; of 16 bits in colour, Pillow gives the upper 8. One filter everywhere: Lanczos with
antialiasing, applied to the whole image as the file has it: JPEG files are not decoded at a reduced scale.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy
import numpy.typing

from stylex.datasets.layouts.records import Box, listed
from stylex.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image, ImageFile

    from stylex.config.datasets import DatasetFile

Bytes = numpy.typing.NDArray[numpy.uint8]
MODES = {1: "L", 3: "RGB"}
FULL = 65535  # white, where all of 16 bits are used
NAMED = 3  # files that a line names
WIDE = re.compile(r"^[IL];16|;16[BLN]$")  # Pillow's raw modes of 16 bits a channel; BGR;16 has them in all
GREY_STEPS = {"L;2": 85, "L;4": 17}  # Pillow multiplies grey of a PNG by these, but not the grey that is transparent
BITS_PER_SAMPLE, PHOTOMETRIC, PLANAR = 258, 262, 284  # tags of TIFF
CLEAR_ERRORS = (OSError, SyntaxError, ValueError)  # whose text Pillow wrote for a reader
PILLOW_WARNINGS = (UserWarning, RuntimeWarning)  # not what other code has left open
KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
logger = logging.getLogger("stylex")


class Rendering(NamedTuple):
    """How pixels are read, as a dataset's file decides; the defaults are of built-in datasets and released models."""

    background: str = "white"  # or black, or #rrggbb
    white_level: int | None = None  # None: `FULL`, which nobody has stated

    @classmethod
    def of(cls, file: DatasetFile | None) -> Rendering:
        """Return what a dataset's file asks for; None: a built-in dataset."""
        return cls() if file is None else cls(file.background, file.white_level)


DEFAULT = Rendering()


class ImageInfo(NamedTuple):
    """Properties of an image file that its prepared pixels do not show."""

    size: tuple[int, int] = (0, 0)  # of the upright image
    transparent: bool = False  # some pixel is not opaque
    levels: tuple[int, int] | None = None  # least and largest value, of 16 bits whose white the file does not state
    reduced: bool = False  # of these 16 bits the upper 8 were used
    several: bool = False  # the file holds further pictures
    warnings: tuple[str, ...] = ()  # of Pillow


def read_image(
    path: Path, channels: int, resolution: int, box: Box | None = None, rendering: Rendering = DEFAULT
) -> tuple[Bytes, ImageInfo]:
    """Return what `read_pixels` reads and says of the file; raise `ImageError`, naming it, when it cannot be read."""
    if not os.path.exists(path):
        raise ImageError(f"{path} does not exist")
    pixels = numpy.empty((channels, resolution, resolution), numpy.uint8)
    try:
        info = read_pixels(path, pixels, box, rendering)
    except ImageError as error:
        raise ImageError(f"{path} cannot be read as an image: {error}; replace or remove it") from None
    return pixels, info


def read_pixels(path: Path, pixels: Bytes, box: Box | None = None, rendering: Rendering = DEFAULT) -> ImageInfo:
    """Read an image file into `pixels` [channels, side, side]: upright, opaque, grey or RGB, resized.

    box: in pixels of the upright image; its central square is taken, as far as it lies in the image. Raises
    `ImageError` with the reason, without the path.
    """
    from PIL import Image

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            mode = os.stat(path).st_mode
            if not stat.S_ISREG(mode):  # reading a named pipe would wait for ever
                raise ValueError(f"it is {KINDS.get(stat.S_IFMT(mode), 'a device')} and no file")
            with Image.open(path) as file:
                image, info = render(file, MODES[len(pixels)], rendering)
            square = _square(image.size, box)
            if square != (0, 0, *pixels.shape[1:]) or image.size != pixels.shape[1:]:
                image = image.resize(pixels.shape[1:], Image.Resampling.LANCZOS, square)
        except Exception as error:  # of a damaged file, Pillow raises almost anything
            raise ImageError(_reason(path, error)) from None
    for channel, band in zip(pixels, image.mode, strict=True):
        channel[:] = numpy.frombuffer(image.tobytes("raw", band), numpy.uint8).reshape(channel.shape)
    kept = (each.message for each in caught if issubclass(each.category, PILLOW_WARNINGS))
    return info._replace(warnings=tuple(map(_text, kept)))


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    reason = _text(error).replace(str(path), path.name)
    return reason if reason and isinstance(error, CLEAR_ERRORS) else f"{type(error).__name__} {reason}".strip()


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


def render(file: ImageFile.ImageFile, mode: str, rendering: Rendering) -> tuple[Image.Image, ImageInfo]:
    """Return the whole image of an opened file, upright as its EXIF orientation says, in `mode` (L or RGB).

    Raises `ValueError` for pixels whose meaning is not known, and whatever Pillow raises for a damaged file.
    """
    from PIL import Image, ImageOps

    bits = _bits(file)
    raw_mode = file.tile[0].args if file.format == "PNG" and file.tile else None
    ImageOps.exif_transpose(file, in_place=True)
    levels, reduced, image = None, False, file
    if file.mode.startswith("I;16") or (file.mode, file.format) == ("I", "PPM"):
        image, levels = _scaled(file, bits, rendering.white_level or FULL)
    elif file.mode in ("I", "F"):
        raise ValueError(f"its pixels are of mode {file.mode}, which has no fixed range; save it with 8 or 16 bits")
    elif bits > 8:
        levels, reduced = _reduced(file, rendering.white_level), True
    elif isinstance(key := file.info.get("transparency"), int):
        file.info["transparency"] = key * GREY_STEPS.get(str(raw_mode), 1)
    transparent = False
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
        if transparent := int(numpy.asarray(image.getchannel("A")).min()) < 255:
            image = Image.alpha_composite(Image.new("RGBA", image.size, rendering.background), image)
    return image.convert(mode), ImageInfo(image.size, transparent, levels, reduced, _holds_several(file))


def _bits(file: ImageFile.ImageFile) -> int:
    """Return how many bits a channel of an opened, not yet loaded file has; 8 also where Pillow scales what it reads.

    Only PNG, TIFF, SGI and PPM have 16 bits whose white they do not state.
    """
    if file.format == "TIFF":
        return max(file.tag_v2.get(BITS_PER_SAMPLE, (1,)))  # pyright: ignore[reportAttributeAccessIssue]
    if not file.tile:
        return 8
    codec, _, _, arguments = file.tile[0]
    words = arguments if isinstance(arguments, tuple) else (arguments,)
    if file.format == "PPM":  # any other maximum than this is what Pillow scales by
        return 16 if FULL in words or "I;16B" in words else 8
    return 16 if codec == "SGI16" or any(isinstance(word, str) and WIDE.search(word) for word in words) else 8


def _scaled(file: ImageFile.ImageFile, bits: int, white: int) -> tuple[Image.Image, tuple[int, int] | None]:
    """Return grey of more than 8 bits as 8 bits, with its alpha if one value is transparent, and its range.

    white: the value of white of 16 bits. No range where the file states the white itself, as a TIFF of 12 bits does.
    """
    from PIL import Image

    if file.format == "TIFF" and file.tag_v2.get(PHOTOMETRIC) == 0:  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError("0 is white in it, which is not read of 16 bits; save it so that 0 is black")
    values = numpy.asarray(file).astype(numpy.uint32)
    white = white if bits == 16 else 4095 if bits == 12 else FULL
    grey = Image.fromarray(numpy.minimum((values * 255 + white // 2) // white, 255).astype(numpy.uint8))
    if (key := file.info.get("transparency")) is not None:
        alpha = Image.fromarray(numpy.where(values == key, 0, 255).astype(numpy.uint8))
        grey = Image.merge("LA", (grey, alpha))
    return grey, (int(values.min()), int(values.max())) if bits == 16 else None


def _reduced(file: ImageFile.ImageFile, white: int | None) -> tuple[int, int] | None:
    """Return the range of an image of 16 bits of which Pillow has read the upper 8, as far as it is known.

    Raises `ValueError` for what cannot be had of 8 bits.
    """
    planes = file.format == "TIFF" and file.tag_v2.get(PLANAR) == 2  # pyright: ignore[reportAttributeAccessIssue]
    if white not in (None, FULL):
        raise ValueError(
            f"it has 16 bits a channel in colour, of which the upper 8 are read, so white_level = {white} cannot hold;"
            " save it with 8 bits a channel, or grey"
        )
    if planes or "transparency" in file.info:
        what = "a transparent colour" if "transparency" in file.info else "a plane a channel"
        raise ValueError(f"it has 16 bits a channel and {what}; save it with 8 bits a channel")
    if file.mode == "CMYK":  # ink: little of it is white
        return None
    colours = [numpy.asarray(file.getchannel(band)) for band in file.getbands() if band not in "Aa"]
    return int(min(each.min() for each in colours)) * 256, int(max(each.max() for each in colours)) * 256 + 255


def _holds_several(file: ImageFile.ImageFile) -> bool:
    """Say whether the file holds further pictures; the small ones that cameras add to a JPEG (MPO) do not count."""
    try:
        return file.format != "MPO" and bool(getattr(file, "is_animated", False))
    except Exception:  # damage behind the picture that was read
        return False


@dataclass
class ImageSummary:
    """The properties of all files of a dataset, or of those that are explained."""

    rendering: Rendering
    files: int = 0
    transparent: int = 0
    wide: int = 0  # with 16 bits whose white is not stated
    reduced: int = 0  # of these, with 16 bits in colour
    levels: tuple[int, int] = (FULL, 0)  # of these
    clipped: list[str] = field(default_factory=list)
    several: list[str] = field(default_factory=list)
    warnings: dict[str, str] = field(default_factory=dict)  # by file

    def add(self, name: str, info: ImageInfo) -> None:
        """Take in one file that was read."""
        self.files += 1
        self.transparent += info.transparent
        if info.levels is not None:
            (low, high), (least, most) = info.levels, self.levels
            self.wide += 1
            self.reduced += info.reduced
            self.levels = min(least, low), max(most, high)
            if high > (self.rendering.white_level or FULL):
                self.clipped.append(name)
        if info.several:
            self.several.append(name)
        if info.warnings:
            self.warnings[name] = "; ".join(info.warnings)

    def record(self) -> dict[str, Any]:
        """Return the part of the manifest."""
        return {"transparent": self.transparent, "levels_of_16_bits": list(self.levels) if self.wide else None}

    def report(self, dataset: str, where: str | None) -> None:
        """Log a line for each thing that was seen; `where`: the dataset's file, None without one."""
        if self.transparent:
            key = f" (background in {where})" if where else ""
            logger.info(
                "%s: %d of %d images have transparent pixels, which are put on %s%s",
                dataset, self.transparent, self.files, self.rendering.background, key,
            )  # fmt: skip
        if self.wide and self.rendering.white_level is None and 0 < 2 * self.levels[1] <= FULL:
            logger.warning("%s: %s", dataset, self._dark(where))
        if self.clipped:
            logger.warning(
                "%s: images with values above white_level = %s, up to %d, are cut off at white: %s; raise white_level",
                dataset, self.rendering.white_level, self.levels[1], listed(self.clipped, NAMED),
            )  # fmt: skip
        if self.several:
            named = listed(self.several, NAMED)
            logger.warning("%s: of files with several pictures the first is taken: %s", dataset, named)
        if self.warnings:
            told = [f"{name} ({text})" for name, text in self.warnings.items()]
            logger.warning("%s: images that Pillow warns of; look at them: %s", dataset, listed(told, NAMED))

    def _dark(self, where: str | None) -> str:
        low, high = self.levels
        what = f"{self.wide} images with 16 bits have values from {low} to {high} of {FULL}, and become dark"
        white = (1 << high.bit_length()) - 1
        grey = f"if {white} is white, write white_level: {white} into {where}" if where else "save it with 8 bits"
        colour = f"save the {self.reduced} in colour with 8 bits a channel"
        remedies = [colour] * (self.reduced > 0) + [grey] * (self.reduced < self.wide)
        return f"{what}; {'; '.join(remedies)}"
