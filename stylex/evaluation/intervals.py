"""Confidence interval of a fraction: E. B. Wilson, Probable inference, JASA 22 (1927)."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist


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
