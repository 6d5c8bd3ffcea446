"""Confidence intervals of fractions and means, and McNemar's test of two methods on the same images.

E. B. Wilson, JASA 22 (1927); bootstrap: B. Efron, Annals of Statistics 7 (1979); Q. McNemar, Psychometrika 12 (1947).
Which interval belongs to a number follows from its units: answers, images and trainings are independent of each other;
several answers about one attribute, or several target classes of one image, are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from math import nan, sqrt
from statistics import NormalDist

import numpy
from numpy.typing import ArrayLike
from scipy.special import stdtrit  # importing scipy.stats takes half a second

RESAMPLES = 10_000
AT_ONCE = 2**22  # counts of units held in memory: 32 MB


def wilson_interval(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return (low, high) in [0, 1] of the two-sided Wilson score interval; (0, 1) when n = 0: nothing is known."""
    assert 0 <= successes <= n
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    fraction = successes / n
    centre = (fraction + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * sqrt(fraction * (1 - fraction) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    low, high = centre - half, centre + half
    return (low if successes else 0.0), (high if successes < n else 1.0)  # exactly, at the ends: no rounding


def bootstrap(
    values: ArrayLike, seed: int, weights: ArrayLike | None = None, level: float = 0.95
) -> tuple[float, float]:
    """Return (low, high), the percentiles of the mean over units drawn anew with replacement; nan for no unit.

    values [n], or [n, D]: D repetitions of all units, which are drawn anew as well. weights [n]: the mean is
    sum(values) / sum(weights), for units that hold several numbers (default: one). The interval of equal values has no
    width; that of few units is too narrow.
    """
    table = numpy.asarray(values, dtype=float)
    table = table[:, None] if table.ndim == 1 else table
    n, repetitions = table.shape
    if not n or not repetitions:
        return nan, nan
    weight = numpy.ones(n) if weights is None else numpy.asarray(weights, dtype=float)
    # Equal units are drawn together: how often one of them comes is multinomial.
    units, counts = numpy.unique(numpy.column_stack([table, weight]), axis=0, return_counts=True)
    random, size = numpy.random.default_rng(seed), max(1, AT_ONCE // len(units))
    means = []
    for start in range(0, RESAMPLES, size):
        draws = min(size, RESAMPLES - start)
        rows = random.multinomial(n, counts / n, draws)
        columns = random.multinomial(repetitions, numpy.full(repetitions, 1 / repetitions), draws) / repetitions
        means.append(((rows @ units[:, :-1]) * columns).sum(axis=1) / (rows @ units[:, -1]))
    low, high = numpy.quantile(numpy.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def images_interval(parts: Sequence[Mapping[str, bool]], seed: int) -> tuple[float, float]:
    """Return the 95 % interval of a fraction of answers about images; parts: of each target class, or draw, by image.

    Wilson's where each image has one answer, or where all answers agree and resampling says nothing (n: the images).
    Otherwise images are resampled with all of their answers, which are not independent.
    """
    answers: dict[str, list[bool]] = {}
    for image, answer in chain.from_iterable(part.items() for part in parts):
        answers.setdefault(image, []).append(answer)
    counts, sizes = [sum(each) for each in answers.values()], [len(each) for each in answers.values()]
    if sum(sizes) == len(answers):
        return wilson_interval(sum(counts), len(answers))
    if sum(counts) in (0, sum(sizes)):
        return wilson_interval(len(answers) if sum(counts) else 0, len(answers))
    return bootstrap(counts, seed, sizes)


def fraction_columns(
    parts: Sequence[Mapping[str, bool]], seed: int, count: str, names: tuple[str, str, str]
) -> dict[str, int | float | None]:
    """Return how many answers are true, by the column `count`, and their fraction and interval by `names`."""
    true, n = sum(sum(part.values()) for part in parts), sum(map(len, parts))
    return {count: true} | dict(zip(names, (true / n if n else None, *images_interval(parts, seed)), strict=True))


def student_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Return (low, high) of the mean of independent values; nan for fewer than two."""
    array = numpy.asarray(values, dtype=float)
    n = len(array)
    if n < 2:
        return nan, nan
    half = float(stdtrit(n - 1, (1 + level) / 2)) * float(array.std(ddof=1)) / sqrt(n)
    return float(array.mean()) - half, float(array.mean()) + half


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the exact two-sided p-value of the images on which one method alone succeeds; 1 when there are none."""
    from scipy.stats import binomtest  # takes half a second to import

    discordant = only_a + only_b
    return float(binomtest(only_a, discordant, 0.5).pvalue) if discordant else 1.0
