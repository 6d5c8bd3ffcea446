"""One attribute on several images, as a moving GIF and as a still: is the visible change the same on each ([L] 4.1).

The GIF sweeps the coordinate from its minimum over the analysed images to its maximum and back, slowly at the ends,
without end. The still shows both ends and the reconstruction between them. Drawing is a pure function of arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import PIL.Image
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont

from stylex.artifacts import atomic_path
from stylex.attfind.records import Attribute, Direction
from stylex.figures.attributes import strongest, top_attributes
from stylex.figures.catalog import ANIMATION_SECONDS
from stylex.figures.experiment import AnalysedExperiment
from stylex.figures.fonts import one_font
from stylex.figures.style import COLUMN_WIDTH, INK, LOWERED, RAISED, Board, levels, note, show, styled
from stylex.networks.stylespace import StyleVector

OF_EACH_SIDE = 2  # images not classified as the attribute's class, and images classified so
STEPS = 15  # from one end to the other
FRAME_TIME = round(500 * ANIMATION_SECONDS / STEPS)  # milliseconds
MARGIN, LABEL, GAP, DIVIDE, TITLE = 0.05, 0.62, 0.05, 0.12, 0.32  # inches, of the still
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
    ends = [[experiment.styles(row, [(attribute.style_index, way)]) for row in rows] for way in Direction]
    moves = []
    for position in positions():
        for low, high in zip(*ends, strict=True):
            moves.append(StyleVector(low.space + position * (high.space - low.space), low.to_rgb))
    images, moved = experiment.rendered(moves)
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
    count = len(sweep.predicted)
    side = (COLUMN_WIDTH - 2 * MARGIN - LABEL - DIVIDE - 2 * GAP) / (2 * OF_EACH_SIDE)
    board = Board(TITLE + 3 * (side + GAP) + MARGIN)
    board.text(MARGIN, MARGIN, sweep.title, size=7, weight="bold")
    board.text(COLUMN_WIDTH - MARGIN, MARGIN, f"numbers: P({sweep.class_name})", size=6.5, ha="right", weight="bold")
    lefts = [MARGIN + LABEL + column * (side + GAP) for column in range(count)]
    lefts = [left + (DIVIDE - GAP) * (column >= sweep.others) for column, left in enumerate(lefts)]
    _heads(board, sweep, lefts, side)
    for line, (label, step) in enumerate((("▲ maximum", -1), ("reconstruction", None), ("▼ minimum", 0))):
        top = TITLE + line * (side + GAP)
        board.text(MARGIN, top + side / 2 - 0.04, label)
        images = sweep.reconstructions if step is None else sweep.images[step]
        chances = sweep.before if step is None else sweep.chances[step]
        raises = (step == -1) == (sweep.direction == Direction.TO_MAX)
        frame = None if step is None else RAISED if raises else LOWERED
        for left, image, chance in zip(lefts, images, chances, strict=True):
            show(board.axes(left, top, side), image, f"{chance:.2f}", frame)
    return board.figure


def _heads(board: Board, sweep: Sweep, lefts: list[float], side: float) -> None:
    """Write what the classifier makes of the reconstructions: once for neighbours of one class."""
    first = 0
    for after in range(1, len(lefts) + 1):
        if after < len(lefts) and sweep.predicted[after] == sweep.predicted[first]:
            continue
        name = sweep.predicted[first]
        text = f"classified {name}" if after - first > 1 else name
        board.text((lefts[first] + lefts[after - 1] + side) / 2, TITLE - 0.11, text, ha="center")
        first = after


def frames(sweep: Sweep) -> list[PIL.Image.Image]:
    """Return the frames of the GIF, there and back; the last one leads on to the first."""
    there = [_frame(sweep, step) for step in range(STEPS + 1)]
    return there + there[-2:0:-1]


def _frame(sweep: Sweep, step: int) -> PIL.Image.Image:
    side = _side(sweep.images.shape[2])
    count = len(sweep.predicted)
    width = count * side + (count + 1) * EDGE
    canvas = PIL.Image.new("RGB", (width, HEAD + side + FOOT), "white")
    draw, font, small = ImageDraw.Draw(canvas), ImageFont.load_default(14), ImageFont.load_default(12)
    name, own = _name_and_font(sweep.class_name)
    draw.text((EDGE, 5), sweep.title, fill=INK, font=font)
    for column in range(count):
        left, top, chance = EDGE + column * (side + EDGE), HEAD, float(sweep.chances[step, column])
        pixels = PIL.Image.fromarray(levels(sweep.images[step, column]))
        enlarge = side >= pixels.width
        resampling = PIL.Image.Resampling.NEAREST if enlarge else PIL.Image.Resampling.LANCZOS
        canvas.paste(pixels.resize((side, side), resampling), (left, top))
        draw.text((left, top + side + 3), f"{name} = {chance:.2f}", fill=INK, font=own)
        draw.rectangle((left, top + side + 20, left + side - 1, top + side + 28), outline=INK)
        draw.rectangle((left, top + side + 20, left + round(chance * (side - 1)), top + side + 28), fill=RAISED)
    _slider(draw, step, width, HEAD + side + FOOT, small)
    return canvas


def _name_and_font(class_name: str) -> tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """Return `P(class)`, cut where it is long, and a font that has its characters; Pillow's own has Latin ones."""
    text = f"P({class_name if len(class_name) <= LETTERS else class_name[: LETTERS - 3] + '...'})"
    if text.isascii():
        return text, ImageFont.load_default(12)
    file, text = one_font(text)
    return text, ImageFont.truetype(file, 12)


def _side(pixels: int) -> int:
    """Return the side of an image in the GIF: a multiple of its pixels from `SMALL`, at most `LARGE`."""
    return min(pixels * max(1, SMALL // pixels), LARGE)


def _slider(
    draw: ImageDraw.ImageDraw, step: int, width: int, height: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> None:
    """Draw where the coordinate is between its extremes."""
    line, first, last = height - 13, EDGE + 60, width - EDGE - 60
    draw.text((EDGE, height - 21), "minimum", fill=INK, font=font)
    draw.text((width - EDGE, height - 21), "maximum", fill=INK, font=font, anchor="ra")
    draw.line((first, line, last, line), fill=INK, width=2)
    centre = first + positions()[step] * (last - first)
    draw.ellipse((centre - 6, line - 6, centre + 6, line + 6), fill=LOWERED)


def save_gif(path: Path, pictures: Sequence[PIL.Image.Image], provenance: str) -> None:
    """Write an endless GIF with one palette for all frames, so that nothing flickers."""
    width, height = pictures[0].size
    every = PIL.Image.new("RGB", (width, height * len(pictures)))
    for number, picture in enumerate(pictures):
        every.paste(picture, (0, number * height))
    palette = every.quantize(256, method=PIL.Image.Quantize.FASTOCTREE, dither=PIL.Image.Dither.NONE)
    flat = [picture.quantize(palette=palette, dither=PIL.Image.Dither.NONE) for picture in pictures]
    with atomic_path(path) as temporary:
        flat[0].save(
            temporary, format="GIF", save_all=True, append_images=flat[1:], duration=FRAME_TIME, loop=0, optimize=False,
            comment=provenance.encode(),
        )  # fmt: skip


def note_picture(text: str) -> PIL.Image.Image:
    """Return one frame that says why there is nothing to show."""
    canvas = PIL.Image.new("RGB", (4 * SMALL, HEAD), "white")
    ImageDraw.Draw(canvas).text((EDGE, 5), text, fill=INK, font=ImageFont.load_default(12))
    return canvas
