"""Wilson's interval against published values and SciPy."""

import pytest
from scipy.stats import binomtest

from stylex.evaluation.intervals import wilson_interval


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (203, 250), (1, 1)])
def test_scipy_agrees(successes, n):
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_newcombe_1998_table_1():
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3: 81/263 and 15/148.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


def test_no_image_tells_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)
