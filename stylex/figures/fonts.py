"""Names in any script: a font for each of their characters, and a word where no installed font has one.

A character that no font has would be an empty box, the same for every such name. It is written as its code instead.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

FAMILY = "DejaVu Sans"  # comes with matplotlib
LAST_RESORT = "LastResort"  # file of a font whose glyphs are boxes, for all there is
logger = logging.getLogger("stylex")


@cache
def characters(file: str) -> frozenset[str]:
    """Return what a font file can draw; nothing when it cannot be read."""
    try:
        return frozenset(map(chr, FT2Font(file).get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()


@cache
def known(weight: str | int = "normal") -> frozenset[str]:
    """Return what `FAMILY` can draw in a weight, and the end of a line."""
    return characters(_plain(weight)) | {"\n"}


def _plain(weight: str | int = "normal") -> str:
    """Return the file of `FAMILY`."""
    return str(font_manager.findfont(font_manager.FontProperties(family=FAMILY, weight=weight)))


@cache
def others(needed: frozenset[str]) -> tuple[tuple[font_manager.FontEntry, ...], frozenset[str]]:
    """Return installed fonts that together have these characters, the best first, and the characters that none has."""
    fonts = [each for each in font_manager.fontManager.ttflist if not Path(each.fname).name.startswith(LAST_RESORT)]
    fonts.sort(key=lambda each: (each.style != "normal", each.weight != 400, each.name, each.fname))
    chosen: list[font_manager.FontEntry] = []
    while needed:
        best = max(fonts, key=lambda each: len(needed & characters(each.fname)))
        if not needed & characters(best.fname):
            break
        chosen.append(best)
        needed -= characters(best.fname)
    return tuple(chosen), needed


def warning(names: Iterable[str]) -> str | None:
    """Return one line about names that figures cannot show as they are; None: they can."""
    missing = others(frozenset("".join(names)) - known())[1]
    if not missing:
        return None
    told = ", ".join(f"{each} ({code(each)})" for each in sorted(missing))
    remedy = "install a font that has them (Debian: fonts-noto)"
    return f"no installed font has the characters {told}: figures will show these codes; {remedy}"


def code(character: str) -> str:
    r"""Return how a figure writes a character that it cannot draw: `\u732b`."""
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def spelled(text: str, drawn: frozenset[str]) -> str:
    """Return the text with the code of each character that is not among `drawn`."""
    return "".join(each if each in drawn else code(each) for each in text)


@cache
def tell(missing: frozenset[str]) -> None:
    """Say once what cannot be drawn."""
    if missing:
        logger.warning("%s", warning(missing))


def use_fonts(figure: Figure) -> None:
    """Give each text of a figure the fonts that have its characters; what none has is written as its code, and said."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        used = frozenset(text.get_text())
        if used <= known(text.get_fontweight()):
            continue
        fonts, missing = others(used - known())
        tell(missing)
        text.set_text(spelled(text.get_text(), known() | used - missing))
        text.set_fontfamily([FAMILY, *(each.name for each in fonts)])
        text.set_fontweight("normal")  # a bold face may lack what the plain one has


def one_font(text: str) -> tuple[str, str]:
    """Return the file of the font that has the most of a text's characters, and the text as that font can draw it."""
    fonts, missing = others(frozenset(text) - known())
    tell(missing)
    best = max([_plain(), *(each.fname for each in fonts)], key=lambda file: sum(c in characters(file) for c in text))
    return best, spelled(text, characters(best))
