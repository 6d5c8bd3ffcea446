"""One attribute on several images, as a moving GIF and as a still: is the visible change the same on each ([L] 4.1).

The GIF sweeps the coordinate from its minimum over the analysed images to its maximum and back, slowly at the ends,
without end. The still shows both ends and the reconstruction between them. Drawing is a pure function of arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy
import PIL.Image
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont

from stylex.artifacts import atomic_path
from stylex.attfind.records import Attribute, Direction, top_attributes
from stylex.figures.attributes import strongest
from stylex.figures.catalog import ANIMATION_SECONDS
from stylex.figures.experiment import AnalysedExperiment
from stylex.figures.fonts import one_font
from stylex.figures.style import (
    COLUMN_WIDTH,
    INK,
    LOWERED,
    MARGIN,
    RAISED,
    Board,
    frame_of,
    levels,
    note,
    show,
    squares,
    styled,
)
from stylex.networks.stylespace import StyleVector

OF_EACH_SIDE = 2  # images not classified as the attribute's class, and images classified so
STEPS = 15  # from one end to the other
FRAME_TIME = round(500 * ANIMATION_SECONDS / STEPS)  # milliseconds
LABEL, GAP, DIVIDE, TITLE = 0.62, 0.05, 0.12, 0.32  # inches, of the still
SMALL, LARGE, EDGE, HEAD, FOOT = 128, 192, 8, 26, 62  # pixels, of the GIF
LETTERS = 13  # of a class, that fit below an image of the GIF


@dataclass(frozen=True)
class Sweep:
    """A coordinate swept over its range on n images."""

    title: str
    class_name: str
    predicted: tuple[str, ...]  # what the classifier makes of each reconstruction
    reconstructions: NDArray[numpy.float32]  # [n, H, W, C]
    before: NDArray[numpy.float32]  # [n], P(class) of the reconstructions
    images: NDArray[numpy.float32]  # [STEPS + 1, n, H, W, C], from the minimum to the maximum
    chances: NDArray[numpy.float32]  # [STEPS + 1, n]
    direction: Direction  # the one that raises P(class)
    others: int  # images before the first that is classified as the class


def animation(experiment: AnalysedExperiment, number: int) -> tuple[Figure, list[PIL.Image.Image]]:
    """Return the still and the frames of the attribute `number` of the figure of top attributes."""
    found = top_attributes(experiment.attributes, number)
    sweep = render_sweep(experiment, found[number - 1], number) if number <= len(found) else None
    if sweep is None:
        missing = f"AttFind found no attribute {number}."
        return note(missing), [note_picture(missing)]
    return draw_still(sweep), frames(sweep)


def render_sweep(experiment: AnalysedExperiment, attribute: Attribute, number: int) -> Sweep | None:
    """Render the attribute `number` of the figure on the images with the largest changes; None: there is no image."""
    effects, latents = experiment.effects, experiment.latents
    target = latents.class_names.index(attribute.target_class)
    chosen = [strongest(attribute, raises, effects, latents, OF_EACH_SIDE) for raises in (True, False)]
    rows = [row for side in chosen for row in side]
    if not rows:
        return None
    base, chances = experiment.rendered([experiment.styles(row) for row in rows])
    ends = [[experiment.styles(row, [(attribute.style_index, way)]) for way in Direction] for row in rows]
    images, moved = experiment.rendered(
        [
            StyleVector(low.space + position * (high.space - low.space), low.to_rgb)
            for position in positions()
            for low, high in ends
        ]
    )
    return Sweep(
        title=f"Attribute {number}: layer {attribute.layer}, channel {attribute.channel}",
        class_name=attribute.target_class,
        predicted=tuple(latents.class_names[answer] for answer in chances.argmax(axis=1)),
        reconstructions=base,
        before=chances[:, target],
        images=images.reshape(STEPS + 1, len(rows), *images.shape[1:]),
        chances=moved[:, target].reshape(STEPS + 1, len(rows)),
        direction=attribute.direction,
        others=len(chosen[0]),
    )


def positions() -> list[float]:
    """Return where on its way from 0 (minimum) to 1 (maximum) the coordinate is at each step: slow at the ends."""
    return [(1 - math.cos(math.pi * step / STEPS)) / 2 for step in range(STEPS + 1)]


@styled()
def draw_still(sweep: Sweep) -> Figure:
    """Draw the maximum, the reconstruction and the minimum of each image, below one another."""
    side, _ = squares([GAP, DIVIDE, GAP], LABEL)
    lefts = [
        MARGIN + LABEL + column * (side + GAP) + (DIVIDE - GAP) * (column >= sweep.others)
        for column in range(len(sweep.predicted))
    ]
    board = Board(TITLE + 3 * (side + GAP) + MARGIN)
    board.text(MARGIN, MARGIN, sweep.title, size=7, weight="bold")
    board.text(COLUMN_WIDTH - MARGIN, MARGIN, f"numbers: P({sweep.class_name})", size=6.5, ha="right", weight="bold")
    for name, neighbours in groupby(zip(sweep.predicted, lefts, strict=True), key=itemgetter(0)):
        first, *others = (left for _, left in neighbours)
        last, text = (others[-1], f"classified {name}") if others else (first, name)
        board.text((first + last + side) / 2, TITLE - 0.11, text, ha="center")
    raised = sweep.direction == Direction.TO_MAX
    lines = (
        ("▲ maximum", sweep.images[-1], sweep.chances[-1], raised),
        ("reconstruction", sweep.reconstructions, sweep.before, None),
        ("▼ minimum", sweep.images[0], sweep.chances[0], not raised),
    )
    for line, (label, images, chances, raises) in enumerate(lines):
        top = TITLE + line * (side + GAP)
        board.text(MARGIN, top + side / 2 - 0.04, label)
        for left, image, chance in zip(lefts, images, chances, strict=True):
            show(board.axes(left, top, side), image, f"{chance:.2f}", frame_of(raises))
    return board.figure


def frames(sweep: Sweep) -> list[PIL.Image.Image]:
    """Return the frames of the GIF, there and back; the last one leads on to the first."""
    there = [_frame(sweep, step) for step in range(STEPS + 1)]
    return there + there[-2:0:-1]


def _frame(sweep: Sweep, step: int) -> PIL.Image.Image:
    pixels = sweep.images.shape[2]
    side = min(pixels * max(1, SMALL // pixels), LARGE)  # a multiple of the pixels from `SMALL`, at most `LARGE`
    resampling = PIL.Image.Resampling.NEAREST if side >= pixels else PIL.Image.Resampling.LANCZOS
    width, below = len(sweep.predicted) * (side + EDGE) + EDGE, HEAD + side
    # A GIF has 256 colours. Grey images may have all levels, and what is drawn around them is grey then.
    bar, slider = (INK, INK) if sweep.images.shape[-1] == 1 else (RAISED, LOWERED)
    canvas = PIL.Image.new("RGB", (width, below + FOOT), "white")
    draw, (name, font) = ImageDraw.Draw(canvas), _name_and_font(sweep.class_name)
    draw.text((EDGE, 5), sweep.title, fill=INK, font=ImageFont.load_default(14))
    for column, (image, chance) in enumerate(zip(sweep.images[step], sweep.chances[step].tolist(), strict=True)):
        left = EDGE + column * (side + EDGE)
        canvas.paste(PIL.Image.fromarray(levels(image)).resize((side, side), resampling), (left, HEAD))
        draw.text((left, below + 3), f"{name} = {chance:.2f}", fill=INK, font=font)
        draw.rectangle((left, below + 20, left + side - 1, below + 28), outline=INK)
        draw.rectangle((left, below + 20, left + round(chance * (side - 1)), below + 28), fill=bar)
    _slider(draw, positions()[step], width, below + FOOT, slider)
    return canvas


def _name_and_font(class_name: str) -> tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """Return `P(class)`, cut where it is long, and a font that has its characters; Pillow's own has Latin ones."""
    text = f"P({class_name if len(class_name) <= LETTERS else class_name[: LETTERS - 3] + '...'})"
    if text.isascii():
        return text, ImageFont.load_default(12)
    file, text = one_font(text)
    return text, ImageFont.truetype(file, 12)


def _slider(draw: ImageDraw.ImageDraw, position: float, width: int, height: int, colour: str) -> None:
    """Draw where the coordinate is between its extremes."""
    line, first, last, font = height - 13, EDGE + 60, width - EDGE - 60, ImageFont.load_default(12)
    draw.text((EDGE, height - 21), "minimum", fill=INK, font=font)
    draw.text((width - EDGE, height - 21), "maximum", fill=INK, font=font, anchor="ra")
    draw.line((first, line, last, line), fill=INK, width=2)
    centre = first + position * (last - first)
    draw.ellipse((centre - 6, line - 6, centre + 6, line + 6), fill=colour)


def save_gif(path: Path, pictures: Sequence[PIL.Image.Image], provenance: str) -> None:
    """Write an endless GIF with one palette for all frames, so that nothing flickers.

    Pixels are exactly those of the pictures where these have at most 256 colours together, about those otherwise.
    """
    flat = _indexed(pictures) or _approximated(pictures)
    with atomic_path(path) as temporary:
        flat[0].save(
            temporary, format="GIF", save_all=True, append_images=flat[1:], duration=FRAME_TIME, loop=0, optimize=False,
            comment=provenance.encode(),
        )  # fmt: skip


def _indexed(pictures: Sequence[PIL.Image.Image]) -> list[PIL.Image.Image]:
    """Return RGB pictures with a palette of all their colours; nothing where these are more than 256."""
    every = [numpy.asarray(picture).astype(numpy.int32) @ (1 << 16, 1 << 8, 1) for picture in pictures]
    colours = numpy.unique(numpy.concatenate([numpy.unique(each) for each in every]))
    if len(colours) > 256:
        return []
    palette = bytes(level for colour in colours.tolist() for level in colour.to_bytes(3, "big"))
    found = [PIL.Image.fromarray(numpy.searchsorted(colours, each).astype(numpy.uint8)) for each in every]
    for picture in found:
        picture.putpalette(palette)
    return found


def _approximated(pictures: Sequence[PIL.Image.Image]) -> list[PIL.Image.Image]:
    every = PIL.Image.fromarray(numpy.concatenate([numpy.asarray(picture) for picture in pictures]))
    palette = every.quantize(256, method=PIL.Image.Quantize.FASTOCTREE, dither=PIL.Image.Dither.NONE)
    return [picture.quantize(palette=palette, dither=PIL.Image.Dither.NONE) for picture in pictures]


def note_picture(text: str) -> PIL.Image.Image:
    """Return one frame that says why there is nothing to show."""
    canvas = PIL.Image.new("RGB", (4 * SMALL, HEAD), "white")
    ImageDraw.Draw(canvas).text((EDGE, 5), text, fill=INK, font=ImageFont.load_default(12))
    return canvas
