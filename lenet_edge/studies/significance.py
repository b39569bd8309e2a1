"""Accuracies over seeds: mean, spread, and whether two recipes differ by more than seeds do.

Runs of one seed share their validation split and the order of their images, so that two recipes' accuracies of one
seed are not independent. The test is therefore Student's paired t-test over the seeds that both recipes have (Welch's
test for independent samples would assume that nothing is shared; where nothing is, pairing costs degrees of freedom
and no validity). All pairs of one metric are a family, corrected by Holm's step-down method (Holm 1979). What is
tested is the training's chance; the test images are the same for all, and their choice is not part of it.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

ALPHA = 0.05


@dataclass(frozen=True)
class Sample:
    """One metric of one recipe over seeds, as fractions."""

    n: int
    mean: float
    sd: float | None  # with n - 1; None for a single seed

    @classmethod
    def of(cls, values: Sequence[float]) -> "Sample":
        """Summarise at least one value."""
        return cls(len(values), statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True)
class PairedTest:
    """Student's t-test of paired differences a - b. The last three are None where the differences have no spread."""

    n: int
    difference: float  # mean
    sd: float | None  # of the differences, with n - 1
    ci95: tuple[float, float] | None  # of the difference, not corrected for other comparisons
    t: float | None
    p: float | None  # two-sided


@dataclass(frozen=True)
class Comparison:
    """Two recipes over the seeds that both have."""

    a: str
    b: str
    test: PairedTest
    p_holm: float | None

    @property
    def significant(self) -> bool:
        """Whether the corrected p value is below 0.05."""
        return self.p_holm is not None and self.p_holm < ALPHA


def paired_t_test(a: Sequence[float], b: Sequence[float]) -> PairedTest:
    """Test whether the mean of a - b is zero, for values of the same seeds in the same order.

    Fewer than two pairs, or pairs that all differ by the same amount, give no p value: accuracies are multiples of one
    image, so that a spread of exactly zero is a matter of rounding. Pairs that are all equal give 1.0.
    """
    from scipy import special

    differences = [x - y for x, y in zip(a, b, strict=True)]
    n, mean = len(differences), statistics.fmean(differences)
    if n < 2:
        return PairedTest(n, mean, None, None, None, None)
    sd = statistics.stdev(differences)
    if sd <= 1e-12:  # a millionth of a millionth: accuracies are stored as float64
        return PairedTest(n, mean, 0.0, None, None, 1.0 if abs(mean) <= 1e-12 else None)
    error = sd / math.sqrt(n)
    half = float(special.stdtrit(n - 1, 0.975)) * error
    p = 2 * float(special.stdtr(n - 1, -abs(mean / error)))
    return PairedTest(n, mean, sd, (mean - half, mean + half), mean / error, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values that control the chance of any false finding among them (Holm 1979)."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def compare_all(values: Mapping[str, Mapping[int, float]]) -> list[Comparison]:
    """Every pair of recipes, each given as seed -> value, tested over the seeds they share and corrected together."""
    tests = []
    for a, b in combinations(values, 2):
        seeds = sorted(set(values[a]) & set(values[b]))
        tests.append((a, b, paired_t_test([values[a][seed] for seed in seeds], [values[b][seed] for seed in seeds])))
    tested = [index for index, (_, _, test) in enumerate(tests) if test.p is not None]
    adjusted = dict(zip(tested, holm([tests[index][2].p or 0.0 for index in tested]), strict=True))
    return [Comparison(a, b, test, adjusted.get(index)) for index, (a, b, test) in enumerate(tests)]


def smallest_significant(n: int, comparisons: int) -> float | None:
    """What n seeds can show: the least mean difference, in standard deviations of the differences between seeds,
    that is significant whatever the other comparisons say (Holm's first step). None where there is no test."""
    from scipy import special

    if n < 2 or comparisons < 1:
        return None
    return float(special.stdtrit(n - 1, 1 - ALPHA / (2 * comparisons))) / math.sqrt(n)
