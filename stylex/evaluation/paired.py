"""Two methods on the same images: the exact test of Q. McNemar (Psychometrika 12, 1947)."""

from __future__ import annotations

from scipy.stats import binomtest


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the exact two-sided p-value; `only_a`, `only_b`: images on which one method alone succeeds.

    Images on which both or neither succeed say nothing of the difference: without any other, p is 1.
    """
    discordant = only_a + only_b
    return float(binomtest(only_a, discordant, 0.5).pvalue) if discordant else 1.0
