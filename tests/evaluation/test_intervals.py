"""Intervals against SciPy and closed forms."""

import math

import numpy
import pytest
from scipy.stats import binom, binomtest

from stylex.evaluation import intervals
from stylex.evaluation.intervals import bootstrap, student_interval, wilson_interval


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (203, 250), (1, 1)])
def test_scipy_agrees(successes, n):
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_no_image_tells_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "n"), [(30, 200), (3, 8), (1, 1)])
def test_resampled_answers_are_binomial(successes, n):
    """What resampling tends to has a closed form: n draws, each right with the probability of the sample."""
    values = [1.0] * successes + [0.0] * (n - successes)
    expected = binom.ppf([0.025, 0.975], n, successes / n) / n
    assert bootstrap(values, seed=0) == pytest.approx(expected, abs=1.01 / n)


def test_a_unit_of_several_numbers_is_drawn_as_one():
    # Ten answers each from 40 attributes that are told apart always or never: the interval is that of 40, not of 400.
    right = [10.0] * 20 + [0.0] * 20
    assert bootstrap(right, seed=0, weights=[10.0] * 40) == pytest.approx(bootstrap([1.0] * 20 + [0.0] * 20, seed=0))
    low, high = wilson_interval(200, 400)
    assert bootstrap(right, seed=0, weights=[10.0] * 40)[0] < low - 0.05
    # Units of different sizes: of one image with three targets, all flipped, and one with one, not: 0, 3/4 or 1.
    assert bootstrap([3.0, 0.0], seed=0, weights=[3.0, 1.0]) == (0.0, 1.0)


def test_repetitions_are_drawn_anew_too():
    # Images that all agree, and two lists that do not: 0 and 1 come with a quarter each.
    assert bootstrap([[0.0, 1.0]] * 50, seed=0) == (0.0, 1.0)
    assert bootstrap([[0.5, 0.5]] * 50, seed=0) == (0.5, 0.5)


def test_the_seed_decides_and_nothing_has_no_interval():
    values = numpy.random.default_rng(0).normal(size=30)
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3) != bootstrap(values, seed=4)
    assert all(map(math.isnan, (*bootstrap([], seed=0), *student_interval([0.5]))))


def test_many_units_are_resampled_in_parts(monkeypatch):
    values = numpy.random.default_rng(0).normal(size=50)
    whole = bootstrap(values, seed=0)
    monkeypatch.setattr(intervals, "AT_ONCE", 5000)
    assert bootstrap(values, seed=0) == pytest.approx(whole, abs=0.02)


def test_two_trainings_and_three_by_hand():
    # t of one degree of freedom: tan(0.475 pi); the half width is t |a - b| / 2.
    t = math.tan(0.475 * math.pi)
    assert student_interval([0.2, 0.4]) == pytest.approx((0.3 - t * 0.1, 0.3 + t * 0.1))
    # Of two degrees: t = 4.302653; sd 0.1.
    half = 4.302653 * 0.1 / 3**0.5
    assert student_interval([0.1, 0.2, 0.3]) == pytest.approx((0.2 - half, 0.2 + half), abs=1e-6)
