"""`leaves`: drawn images of leaves whose six factors are known, so that what AttFind finds can be held against truth.

Every factor is uniform on [0, 1] and independent of the others. A leaf is sick when spots, yellowing and curl add up to
more than 1.5, its median: no noise, balanced classes, equal causes. An image is a function of its six factors alone.
`leaves-biased` plants a bias: background and label agree (dark: sick) on 95 % of the images.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy
import numpy.typing

if TYPE_CHECKING:
    from PIL import Image

FACTORS = ("spots", "yellowing", "curl", "size", "angle", "background")
CAUSES = ("spots", "yellowing", "curl")  # of the label; the other factors have no part in it
CLASSES = ("healthy", "sick")
TITLES = {
    "leaves": "Drawn leaves with known factors",
    "leaves-biased": "Drawn leaves whose background follows the label on 95 % of the images",
}
COUNT = 20_000  # images of a dataset
SEEDS = {"leaves": 20211, "leaves-biased": 20212}  # of the factors: fixed datasets, whatever an experiment's seed
AGREEMENT = {"leaves": None, "leaves-biased": 0.95}  # share of images whose background follows the label

SUPERSAMPLING = 4  # drawn so many times larger, then averaged
OUTLINE = 24  # points along each side
LENGTH = (0.55, 0.9)  # of the leaf, in sides of the image: at size 0 and 1
WIDTH = 0.3  # half the widest place, in leaf lengths
BEND = math.radians(150)  # by which the midrib turns at curl 1
TILT = math.radians(50)  # of the leaf to either side, at angle 0 and 1
SHADE = (40, 225)  # of the grey background at 0 and 1
GREEN, YELLOW, BROWN = (40, 130, 50), (240, 205, 60), (90, 40, 25)
SPOT = 0.085  # radius at spots 1, in leaf lengths: the area grows in proportion to the factor
# Where spots lie: along the midrib from the base (0) to the tip (1), and across it in half widths.
PLACES = ((0.22, -0.4), (0.35, 0.48), (0.47, -0.5), (0.6, 0.45), (0.72, -0.42))

STEPS = 17  # values of a factor that `regions` draws: at 32x32 a leaf's tip moves by about a pixel between two
THRESHOLD = 16  # of 255 levels, in any channel: a pixel that an edge just touches changes by less

Floats = numpy.typing.NDArray[numpy.float64]
Bytes = numpy.typing.NDArray[numpy.uint8]
Masks = numpy.typing.NDArray[numpy.bool_]


def sample_factors(count: int, seed: int, agreement: float | None = None) -> Floats:
    """Return factors [count, 6] in [0, 1), columns as in `FACTORS`; the first images do not depend on `count`.

    agreement: share of the images whose background lies in the half of their label (sick: below 0.5), the others
    lying in the other half; None: independent. The six columns alone stay uniform either way.
    """
    random = numpy.random.default_rng(seed).random((count, len(FACTORS) + 1))
    factors, chance = random[:, :-1].copy(), random[:, -1]
    if agreement is not None:
        dark = (labels_of(factors) == 1) == (chance < agreement)
        shade = FACTORS.index("background")
        factors[:, shade] = factors[:, shade] / 2 + numpy.where(dark, 0.0, 0.5)
    return factors


def labels_of(factors: Floats) -> Bytes:
    """Return the label of each row of factors [N, 6]: 1 (sick) where the causes add up to more than half their sum."""
    causes = factors[:, [FACTORS.index(name) for name in CAUSES]]
    return (causes.sum(axis=1) > len(CAUSES) / 2).astype(numpy.uint8)


def draw_leaves(factors: Floats, resolution: int) -> Bytes:
    """Draw factors [N, 6] as uint8 [N, 3, resolution, resolution]."""
    images = numpy.empty((len(factors), resolution, resolution, 3), numpy.uint8)
    for index, row in enumerate(factors):
        images[index] = numpy.asarray(draw_leaf(dict(zip(FACTORS, row.tolist(), strict=True)), resolution))
    return numpy.ascontiguousarray(images.transpose(0, 3, 1, 2))


def draw_leaf(factors: dict[str, float], resolution: int) -> Image.Image:
    """Draw one leaf, upright when angle is 0.5, its midrib an arc that turns by curl; RGB, resolution squared."""
    from PIL import Image, ImageDraw

    canvas = resolution * SUPERSAMPLING
    image = Image.new("RGB", (canvas, canvas), (round(_mix(*SHADE, factors["background"])),) * 3)
    draw = ImageDraw.Draw(image)
    blade = tuple(round(_mix(*ends, factors["yellowing"])) for ends in zip(GREEN, YELLOW, strict=True))
    rib = tuple(round(0.7 * value) for value in blade)
    length = _mix(*LENGTH, factors["size"]) * canvas
    along = numpy.linspace(0, 1, OUTLINE)
    sides = [_place(along, side * numpy.ones(OUTLINE), factors, length, canvas) for side in (-1, 1)]
    draw.polygon(numpy.concatenate([sides[0], sides[1][::-1]]).ravel().tolist(), fill=blade)
    midrib = _place(along, numpy.zeros(OUTLINE), factors, length, canvas)
    draw.line(midrib.ravel().tolist(), fill=rib, width=max(1, round(0.02 * length)), joint="curve")
    radius = SPOT * math.sqrt(factors["spots"]) * length
    places = numpy.array(PLACES)
    for x, y in _place(places[:, 0], places[:, 1], factors, length, canvas).tolist():
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=BROWN)
    return image.reduce(SUPERSAMPLING)


def regions(factors: Floats, resolution: int) -> dict[str, Masks]:
    """Return where each factor acts in each image, [N, H, W] by the factor's name; factors [N, 6].

    A pixel is of the region when it changes by more than `THRESHOLD` while that factor alone goes over its range, the
    others being as they are in the image. So it does not depend on that factor's own value.
    """
    found = {name: numpy.empty((len(factors), resolution, resolution), bool) for name in FACTORS}
    for index, own in enumerate(factors):
        for position, name in enumerate(FACTORS):
            rows = numpy.tile(own, (STEPS, 1))
            rows[:, position] = numpy.linspace(0, 1, STEPS)
            found[name][index] = numpy.ptp(draw_leaves(rows, resolution), axis=0).max(0) > THRESHOLD
    return found


def _place(along: Floats, across: Floats, factors: dict[str, float], length: float, canvas: int) -> Floats:
    """Return pixel coordinates [n, 2] (x, y) of points in the leaf: along its midrib, and across it in half widths."""
    bend = BEND * factors["curl"]
    heading = bend * (along - 0.5)  # of the midrib at each point, from the vertical
    x, y = _arc(along, bend) - _arc(numpy.array([0.5]), bend)  # the middle of the midrib is the middle of the image
    offset = across * WIDTH * numpy.sin(math.pi * along**0.85)
    x, y = x + offset * numpy.cos(heading), y + offset * numpy.sin(heading)
    tilt = TILT * (2 * factors["angle"] - 1)
    turned = x * math.cos(tilt) - y * math.sin(tilt), x * math.sin(tilt) + y * math.cos(tilt)
    return canvas / 2 + length * numpy.stack(turned, axis=1)


def _arc(along: Floats, bend: float) -> Floats:
    """Return [2, n]: points of an arc of length 1 that turns by `bend` in all and is upright (y down) in its middle."""
    if bend < 1e-6:
        return numpy.stack([numpy.zeros_like(along), -along])
    heading = bend * (along - 0.5)
    return numpy.stack([-numpy.cos(heading), -numpy.sin(heading)]) / bend


def _mix(low: float, high: float, share: float) -> float:
    return low + (high - low) * share
