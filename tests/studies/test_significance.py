"""Tests over seeds against scipy, and Holm's method against the closed testing that it abbreviates."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lenet_edge.studies.significance import Sample, compare_all, holm, paired_t_test, smallest_significant

A = [0.9912, 0.9930, 0.9921, 0.9917, 0.9926]
B = [0.9905, 0.9911, 0.9908, 0.9913, 0.9909]


def test_mean_and_deviation_are_those_of_a_sample() -> None:
    sample = Sample.of(A)
    assert (sample.n, sample.mean, sample.sd) == (5, pytest.approx(np.mean(A)), pytest.approx(np.std(A, ddof=1)))
    assert Sample.of([0.5]) == Sample(1, 0.5, None)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_paired_test_equals_scipy(n: int) -> None:
    ours, theirs = paired_t_test(A[:n], B[:n]), stats.ttest_rel(A[:n], B[:n])
    interval = theirs.confidence_interval(0.95)
    assert ours.t == pytest.approx(theirs.statistic)
    assert ours.p == pytest.approx(theirs.pvalue)
    assert ours.ci95 == pytest.approx((interval.low, interval.high))
    assert paired_t_test(B[:n], A[:n]).p == ours.p


def test_one_pair_or_differences_without_spread_are_not_tested() -> None:
    assert paired_t_test([0.9], [0.8]).p is None
    assert paired_t_test([0.9, 0.8, 0.7], [0.8, 0.7, 0.6]).p is None
    assert paired_t_test([0.9, 0.8], [0.9, 0.8]).p == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_holm_equals_closed_testing_with_bonferroni(p_values: list[float]) -> None:
    indices = range(len(p_values))
    families = [family for size in range(1, len(p_values) + 1) for family in combinations(indices, size)]
    expected = [
        max(min(1, len(family) * min(p_values[i] for i in family)) for family in families if index in family)
        for index in indices
    ]
    assert holm(p_values) == pytest.approx(expected)


def test_all_pairs_are_corrected_together() -> None:
    generator = np.random.default_rng(0)
    values = {
        name: dict(enumerate(mean + 0.001 * generator.standard_normal(5)))
        for name, mean in (("low", 0.98), ("high", 0.99), ("like high", 0.99))
    }
    found = {(item.a, item.b): item for item in compare_all(values)}
    assert list(found) == [("low", "high"), ("low", "like high"), ("high", "like high")]
    assert [item.significant for item in found.values()] == [True, True, False]
    uncorrected = [item.test.p for item in found.values()]
    assert [item.p_holm for item in found.values()] == pytest.approx(holm([p or 0 for p in uncorrected]))


def test_pairs_are_those_of_the_same_seed() -> None:
    # Every seed shifts both recipes alike: unpaired values overlap, paired ones do not.
    shifts = [0.0, 0.01, -0.02, 0.03, -0.04]
    a = {seed: 0.9 + shift + 1e-4 * seed for seed, shift in enumerate(shifts)}
    b = {seed: 0.899 + shifts[seed] for seed in reversed(range(5))}
    (found,) = compare_all({"a": a, "b": b})
    assert found.significant
    assert stats.ttest_ind(list(a.values()), list(b.values()), equal_var=False).pvalue > 0.9


@pytest.mark.parametrize(("n", "comparisons"), [(2, 1), (3, 6), (5, 6), (5, 1)])
def test_smallest_significant_difference_is_just_significant(n: int, comparisons: int) -> None:
    least = smallest_significant(n, comparisons)
    assert least is not None
    noise = np.arange(n) - (n - 1) / 2
    noise /= noise.std(ddof=1)
    for factor, significant in ((1.001, True), (0.999, False)):
        p = stats.ttest_1samp(noise + factor * least, 0).pvalue
        assert bool(p * comparisons < 0.05) is significant
    assert smallest_significant(1, 3) is None
