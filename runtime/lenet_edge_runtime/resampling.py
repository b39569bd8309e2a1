"""Intervals by bootstrap over rounds: the rounds are what a measurement repeats, the calls within one are not.

A cluster bootstrap (Efron & Tibshirani 1993) with percentiles widened for few clusters (Hesterberg, "What teachers
should know about the bootstrap", 2015): the plain percentile interval of 10 rounds covers 90 %, not 95.
"""

import math
import statistics
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000  # of pooled percentiles, which are costly
RATIO_RESAMPLES = 20_000  # of a median of few numbers: the tails of a 99 % interval are thin

# The level at which a difference is called one. At 95 % one of 20 comparisons of a file with itself would find some.
CALL_LEVEL = 0.99

Matrix = NDArray[np.float64]


def minimum_rounds(level: float) -> int:
    """The fewest rounds whose whole range can be an interval of the median at `level`: 6 for 95 %, 8 for 99 %.

    All of n rounds lie on one side of the median with probability 2 / 2^n (the sign test).
    """
    return math.ceil(1 - math.log2(1 - level))


def percentile_intervals(
    samples: Matrix, percentiles: Sequence[float], level: float = 0.95, seed: int = 0
) -> list[tuple[float, float]]:
    """Intervals of percentiles of all calls, [rounds, calls], by resampling rounds with all their calls."""
    rounds = len(samples)
    chosen = np.random.default_rng(seed).integers(0, rounds, size=(RESAMPLES, rounds))
    found = np.array([np.percentile(samples[index], percentiles) for index in chosen])
    tail = widened_tail(level, rounds)
    ends = np.quantile(found, [tail, 1 - tail], axis=0)
    return [(float(low), float(high)) for low, high in ends.T]


def median_interval(values: NDArray[np.float64], level: float, seed: int = 0) -> tuple[float, float]:
    """The interval of the median of one number a round, [rounds]."""
    return _ends(_resampled_medians(values, seed), widened_tail(level, len(values)))


def difference_interval(
    one: NDArray[np.float64], other: NDArray[np.float64], level: float, seed: int = 0
) -> tuple[float, float]:
    """The interval of median(one) - median(other), of rounds that have nothing to do with each other."""
    spread = _resampled_medians(one, seed) - _resampled_medians(other, seed + 1)
    return _ends(spread, widened_tail(level, min(len(one), len(other))))


def widened_tail(level: float, rounds: int) -> float:
    """The share to leave out at each end so that the percentile interval of few rounds covers `level`."""
    if rounds < 2:
        return 0.0
    wider = math.sqrt(rounds / (rounds - 1)) * student_quantile((1 + level) / 2, rounds - 1)
    return statistics.NormalDist().cdf(-wider)


def student_quantile(probability: float, freedom: int) -> float:
    """Student's t quantile (Abramowitz & Stegun 26.7.5, to 1 % from 4 degrees of freedom on)."""
    z: float = statistics.NormalDist().inv_cdf(probability)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return math.fsum(term / freedom**power for power, term in enumerate(terms))


def _resampled_medians(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    chosen = np.random.default_rng(seed).integers(0, len(values), size=(RATIO_RESAMPLES, len(values)))
    return np.asarray(np.median(values[chosen], axis=1))


def _ends(resampled: NDArray[np.float64], tail: float) -> tuple[float, float]:
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)
