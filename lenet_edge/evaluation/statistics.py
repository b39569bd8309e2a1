"""Intervals and tests for accuracies, of one model or of two on the same images."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054  # two-sided 95 % quantile of the standard normal distribution


def wilson_interval(right: float, n: float) -> tuple[float, float]:
    """95 % score interval of a proportion (Wilson 1927)."""
    p, z2 = right / n, Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def clustered_interval(shares: NDArray[np.float64], size: int) -> tuple[float, float]:
    """95 % interval of the mean of `shares` [n], each the share of `size` trials of one cluster that went well.

    Wilson's, of as many independent trials as vary by as much (Kish 1965, the design effect): from n, where the trials
    of a cluster all go alike, to n * size.
    """
    n, mean = len(shares), float(shares.mean())
    variance = float(shares.var(ddof=1)) if n > 1 else 0.0
    effective = float(np.clip(n * mean * (1 - mean) / variance, n, n * size)) if variance else float(n)
    return wilson_interval(mean * effective, effective)


def paired_drop_interval(lost: int, gained: int, n: int) -> tuple[float, float]:
    """95 % score interval of an accuracy drop measured on the same n images (Tango 1998).

    `lost`: images that only the reference gets right; `gained`: images that only the other model gets right. The
    drop is (lost - gained) / n, a fraction. Unlike Wald's, the interval has a width where no image differs: with
    n images nothing below about 3.84 / n can be told from zero.
    """
    drop = (lost - gained) / n

    def score(delta: float) -> float:
        return _tango_score(lost, gained, n, delta)

    return _crossing(score, Z95, -1.0, drop), _crossing(score, -Z95, drop, 1.0)


def unpaired_drop_upper(before: float, n_before: int, now: float, n_now: int) -> float:
    """Upper end of the 95 % interval of an accuracy drop between two test sets (Newcombe 1998, method 10).

    `before` of `n_before` images and `now` of `n_now` others are fractions, and so is the drop, before - now.
    """
    upper = wilson_interval(round(before * n_before), n_before)[1]
    lower = wilson_interval(round(now * n_now), n_now)[0]
    return before - now + math.hypot(upper - before, now - lower)


def mcnemar_exact(lost: int, gained: int) -> float:
    """Two-sided exact p value of McNemar's test: could `lost` against `gained` be a fair coin's? 1.0 without any."""
    n = lost + gained
    tail = sum(math.comb(n, k) for k in range(min(lost, gained) + 1))
    return float(min(1, 2 * tail / 2**n)) if n else 1.0


def _tango_score(lost: int, gained: int, n: int, delta: float) -> float:
    """The score statistic of H0: drop = delta; falls as delta grows."""
    a = 2 * n
    b = -lost - gained + (2 * n - lost + gained) * delta
    c = -gained * delta * (1 - delta)
    q = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)  # maximum likelihood of "only the other is right"
    variance = n * (2 * q + delta * (1 - delta))
    numerator = lost - gained - n * delta
    if variance <= 0:
        return 0.0 if numerator == 0 else math.copysign(math.inf, numerator)
    return numerator / math.sqrt(variance)


def _crossing(score: Callable[[float], float], target: float, low: float, high: float) -> float:
    """Where the falling `score` crosses `target` between low and high, by bisection."""
    for _ in range(100):
        middle = (low + high) / 2
        if score(middle) > target:
            low = middle
        else:
            high = middle
    return (low + high) / 2
