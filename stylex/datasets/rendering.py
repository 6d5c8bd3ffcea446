"""Image files to 8 bits a channel without transparency: by what rules, and what was seen of the files on the way.

Transparent pixels are put on a stated colour. Grey of 16 bits is scaled so that a stated value is white, as instruments
write 12 bits into files of 16; of 16 bits in colour, Pillow gives the upper 8. Used for whole datasets and for
`stylex explain` alike.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy

from stylex.datasets.layouts.records import listed

if TYPE_CHECKING:
    from PIL import Image, ImageFile

    from stylex.config.datasets import DatasetFile

FULL = 65535  # white, where all of 16 bits are used
NAMED = 3  # files that a line names
WIDE = re.compile(r"^[IL];16|;16[BLN]$")  # Pillow's raw modes of 16 bits a channel; BGR;16 has them in all
GREY_STEPS = {"L;2": 85, "L;4": 17}  # of grey in PNG files with few bits, by Pillow's raw mode
BITS_PER_SAMPLE, PHOTOMETRIC, PLANAR = 258, 262, 284  # tags of TIFF
logger = logging.getLogger("stylex")


class Rendering(NamedTuple):
    """What a dataset's file decides."""

    background: str = "white"  # or black, or #rrggbb
    white_level: int | None = None  # None: `FULL`, which nobody has stated


DEFAULT = Rendering()  # of built-in datasets and released models


def rendering_of(file: DatasetFile | None) -> Rendering:
    """Return what a dataset's file says; None: a built-in dataset."""
    return DEFAULT if file is None else Rendering(file.background, file.white_level)


class Seen(NamedTuple):
    """What the pixels of a prepared image do not tell of its file."""

    size: tuple[int, int] = (0, 0)  # of the upright image
    transparent: bool = False  # some pixel is not opaque
    levels: tuple[int, int] | None = None  # least and largest value, of 16 bits whose white the file does not state
    reduced: bool = False  # of these 16 bits the upper 8 were used
    several: bool = False  # the file holds further pictures
    warnings: tuple[str, ...] = ()  # of Pillow


def render(file: ImageFile.ImageFile, mode: str, rendering: Rendering) -> tuple[Image.Image, Seen]:
    """Return the whole image of an opened file, upright as its EXIF orientation says, in `mode` (L or RGB).

    Raises `ValueError` for pixels whose meaning is not known, and whatever Pillow raises for a damaged file.
    """
    from PIL import Image, ImageOps

    bits, step = _bits(file), _grey_step(file)
    ImageOps.exif_transpose(file, in_place=True)
    levels, reduced, image = None, False, file
    if file.mode.startswith("I;16") or (file.mode, file.format) == ("I", "PPM"):
        image, levels = _scaled(file, bits, rendering.white_level or FULL)
    elif file.mode in ("I", "F"):
        raise ValueError(f"its pixels are of mode {file.mode}, which has no fixed range; save it with 8 or 16 bits")
    elif bits > 8:
        levels, reduced = _reduced(file, rendering.white_level), True
    elif isinstance(key := file.info.get("transparency"), int):
        file.info["transparency"] = key * step
    transparent = False
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
        if transparent := int(numpy.asarray(image.getchannel("A")).min()) < 255:
            image = Image.alpha_composite(Image.new("RGBA", image.size, rendering.background), image)
    return image.convert(mode), Seen(image.size, transparent, levels, reduced, _holds_several(file))


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


def _grey_step(file: ImageFile.ImageFile) -> int:
    """Return what Pillow multiplies grey of 2 or 4 bits by, but not the grey that is transparent."""
    known = file.tile[0].args if file.format == "PNG" and file.tile else None
    return GREY_STEPS.get(known, 1) if isinstance(known, str) else 1


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
    levels = (int(values.min()), int(values.max())) if bits == 16 else None
    key = file.info.get("transparency")
    if key is None:
        return grey, levels
    alpha = Image.fromarray(numpy.where(values == key, 0, 255).astype(numpy.uint8))
    return Image.merge("LA", (grey, alpha)), levels


def _reduced(file: ImageFile.ImageFile, white: int | None) -> tuple[int, int] | None:
    """Return the range of an image of 16 bits of which Pillow has read the upper 8, as far as it is known.

    Raises `ValueError` for what cannot be had of 8 bits.
    """
    if white not in (None, FULL):
        raise ValueError(
            f"it has 16 bits a channel in colour, of which the upper 8 are read, so white_level = {white} cannot hold;"
            " save it with 8 bits a channel, or grey"
        )
    if "transparency" in file.info:
        raise ValueError("it has 16 bits a channel and a transparent colour; save it with 8 bits a channel")
    if file.format == "TIFF" and file.tag_v2.get(PLANAR) == 2:  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError("it has 16 bits a channel and a plane a channel; save it with 8 bits a channel")
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
class Sightings:
    """What was seen of all files of a dataset, or of those that are explained."""

    rendering: Rendering
    files: int = 0
    transparent: int = 0
    wide: int = 0  # with 16 bits whose white is not stated
    reduced: int = 0  # of these, with 16 bits in colour
    levels: tuple[int, int] = (FULL, 0)  # of these
    clipped: list[str] = field(default_factory=list)
    several: list[str] = field(default_factory=list)
    warnings: dict[str, str] = field(default_factory=dict)  # by file

    def add(self, name: str, seen: Seen) -> None:
        """Take in one file that was read."""
        self.files += 1
        self.transparent += seen.transparent
        if seen.levels is not None:
            self.wide += 1
            self.reduced += seen.reduced
            self.levels = min(self.levels[0], seen.levels[0]), max(self.levels[1], seen.levels[1])
            if seen.levels[1] > (self.rendering.white_level or FULL):
                self.clipped.append(name)
        if seen.several:
            self.several.append(name)
        if seen.warnings:
            self.warnings[name] = "; ".join(seen.warnings)

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
