"""Intervals and tests against scipy, and against the definitions they invert."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from lenet_edge.evaluation.statistics import (
    Z95,
    mcnemar_exact,
    paired_drop_interval,
    unpaired_drop_upper,
    wilson_interval,
)


@pytest.mark.parametrize(("right", "n"), [(0, 20), (20, 20), (7, 20), (9951, 10000)])
def test_wilson_equals_scipy(right: int, n: int) -> None:
    expected = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert wilson_interval(right, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_equals_scipy(lost: int, gained: int) -> None:
    expected = stats.binomtest(lost, lost + gained).pvalue if lost + gained else 1.0
    assert mcnemar_exact(lost, gained) == pytest.approx(expected, rel=1e-9)


def score_by_maximum_likelihood(lost: int, gained: int, n: int, delta: float) -> float:
    """Tango's statistic with the nuisance parameter found numerically: gained's probability q, lost's q + delta."""

    def negative_likelihood(q: float) -> float:
        p = np.clip([q + delta, q, 1 - 2 * q - delta], 1e-300, 1)
        return -(np.array([lost, gained, n - lost - gained]) * np.log(p)).sum()

    low, high = max(0.0, -delta), (1 - delta) / 2
    q = optimize.minimize_scalar(negative_likelihood, bounds=(low, high), options={"xatol": 1e-12}).x
    return float((lost - gained - n * delta) / np.sqrt(n * (2 * q + delta - delta**2)))


@pytest.mark.parametrize(("lost", "gained", "n"), [(0, 0, 599), (3, 1, 100), (25, 16, 10000), (0, 9, 50), (40, 2, 60)])
def test_paired_interval_inverts_the_score_test(lost: int, gained: int, n: int) -> None:
    low, high = paired_drop_interval(lost, gained, n)
    assert low <= (lost - gained) / n <= high
    assert score_by_maximum_likelihood(lost, gained, n, low) == pytest.approx(Z95, abs=2e-3)
    assert score_by_maximum_likelihood(lost, gained, n, high) == pytest.approx(-Z95, abs=2e-3)


def test_paired_interval_has_a_width_where_no_image_differs() -> None:
    low, high = paired_drop_interval(0, 0, 10_000)
    assert high == pytest.approx(Z95**2 / (10_000 + Z95**2))
    assert low == pytest.approx(-high)


@given(st.integers(0, 50), st.integers(0, 50))
def test_paired_interval_is_antisymmetric(lost: int, gained: int) -> None:
    low, high = paired_drop_interval(lost, gained, 200)
    mirrored_low, mirrored_high = paired_drop_interval(gained, lost, 200)
    assert (low, high) == pytest.approx((-mirrored_high, -mirrored_low), abs=1e-9)


def test_paired_interval_covers_the_truth_about_95_times_in_100() -> None:
    generator = np.random.default_rng(0)
    lost_probability, gained_probability, n, repeats = 0.02, 0.01, 500, 2000
    counts = generator.multinomial(n, [lost_probability, gained_probability, 0.97], size=repeats)
    covered = sum(
        low <= lost_probability - gained_probability <= high
        for low, high in (paired_drop_interval(int(lost), int(gained), n) for lost, gained, _ in counts)
    )
    assert 0.93 < covered / repeats < 0.98


def test_upper_end_of_a_drop_between_two_test_sets_is_newcombes() -> None:
    """56 of 70 and 48 of 80: 0.0524 to 0.3339 (Newcombe 1998, table II, method 10)."""
    assert unpaired_drop_upper(56 / 70, 70, 48 / 80, 80) == pytest.approx(0.3339, abs=5e-5)
