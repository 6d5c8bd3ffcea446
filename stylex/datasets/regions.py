"""Where in a drawn leaf its factors act, told by drawing it again: what maps of attributes are held against."""

from __future__ import annotations

import numpy
import numpy.typing

from stylex.datasets.leaves import FACTORS, Floats, draw_leaves

STEPS = 17  # values of a factor that are drawn, from 0 to 1: at 32x32 a leaf's tip moves by about a pixel between two
THRESHOLD = 16  # of 255 levels, in any channel: a pixel that an edge just touches changes by less

Masks = numpy.typing.NDArray[numpy.bool_]


def regions(factors: Floats, resolution: int) -> dict[str, Masks]:
    """Return the region of each factor in each image, [N, H, W] by the factor's name; factors [N, 6].

    A pixel is of the region when it changes by more than `THRESHOLD` while that factor alone goes over its range, the
    others being as they are in the image. So it does not depend on that factor's own value.
    """
    found = {name: numpy.empty((len(factors), resolution, resolution), bool) for name in FACTORS}
    for index, own in enumerate(factors):
        for position, name in enumerate(FACTORS):
            found[name][index] = numpy.ptp(draw_leaves(_swept(own, position), resolution), axis=0).max(0) > THRESHOLD
    return found


def _swept(own: Floats, position: int) -> Floats:
    """Return the factors [STEPS, 6] of an image with one of them at each of its values."""
    rows = numpy.tile(own, (STEPS, 1))
    rows[:, position] = numpy.linspace(0, 1, STEPS)
    return rows
