"""Uploaded files: what they are is read from their content, and their size before any pixel is decoded."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from urllib.parse import unquote

from PIL import Image, UnidentifiedImageError

from stylex.app.limits import UPLOAD_PIXELS
from stylex.errors import ImageError

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "PPM", "TIFF", "WEBP")  # what the layouts of own images read
NAMES = "PNG, JPEG, GIF, BMP, PGM, PPM, TIFF or WebP"
NAME_LENGTH = 80
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


def check_picture(path: Path, name: str) -> None:
    """Raise `ImageError`, which calls the file `name`, unless it is a picture that may be decoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path, formats=FORMATS) as file:
                width, height = file.size
        except UnidentifiedImageError:
            raise ImageError(f"{name} is no picture that can be read here; give {NAMES}") from None
        except Image.DecompressionBombError:
            raise ImageError(f"{name} has more than {UPLOAD_PIXELS / 1e6:g} megapixels; make it smaller") from None
        except Exception as error:  # of a damaged header, Pillow raises almost anything
            raise ImageError(f"{name} cannot be read as an image ({type(error).__name__}); save it again") from None
    if width * height > UPLOAD_PIXELS:
        size = f"{width} x {height} pixels, more than {UPLOAD_PIXELS / 1e6:g} megapixels"
        raise ImageError(f"{name} has {size}; make it smaller")


def file_name(quoted: str) -> str:
    """Return the name that a browser gives a file, percent-encoded, fit to be shown in one line."""
    name = re.split(r"[/\\]", unquote(quoted, errors="replace"))[-1]
    name = " ".join(UNSEEN.sub("", name).split())
    if len(name) > NAME_LENGTH:
        name = f"{name[: NAME_LENGTH - 11]}…{name[-10:]}"
    return name or "image"
