"""Whether probabilities mean what they say: calibration error, Brier score, a reliability diagram's bars, and sets."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet_edge.evaluation.statistics import wilson_interval
from lenet_edge_runtime.answers import label_sets
from lenet_edge_runtime.spec import ModelSpec

BINS = 15  # as Guo et al. 2017 have it
RESAMPLES = 1000


@dataclass(frozen=True)
class Bin:
    """The answers given with a probability from `low` to `high`, in [low, high) but for the last."""

    low: float
    high: float
    images: int
    confidence: float  # mean probability of the class that was named
    accuracy: float  # share of them that were right


@dataclass(frozen=True)
class Calibration:
    """`ece` is the expected calibration error (Naeini et al. 2015) of the named class's probability.

    It is the mean of |accuracy - confidence| over 15 bins of equal width, weighted by their images; `ece_ci95` are
    percentiles of 1,000 bootstrap samples of the images (seed 0), which lean upwards: where the error is near 0, every
    sample's own noise adds to it. `brier` is Brier's score (1950), the mean squared distance of the probabilities
    from the truth, 0 to 2.
    """

    ece: float
    ece_ci95: tuple[float, float]
    brier: float
    confidence: float  # mean
    bins: list[Bin]  # those that hold answers


@dataclass(frozen=True)
class LabelSets:
    """What `predict --coverage` promises, and what became of it; `labels` is how many a set has in the mean."""

    coverage: float
    held: float  # share of the images whose set holds the true label
    held_ci95: tuple[float, float]
    labels: float


def measure_sets(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], spec: ModelSpec
) -> tuple[LabelSets, ...]:
    """The sets of each coverage that `spec` knows: probabilities [n, classes] in its order, `labels` [n] in it too."""
    found = []
    for coverage, _ in spec.coverage:
        sets = label_sets(probabilities, spec, coverage)
        held = sum(spec.labels[label] in names for label, names in zip(labels, sets, strict=True))
        size = sum(map(len, sets)) / len(sets)
        found.append(LabelSets(coverage, held / len(sets), wilson_interval(held, len(sets)), size))
    return tuple(found)


def measure_calibration(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> Calibration:
    """Compare probabilities [n, classes] with the labels [n]."""
    named = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    places = np.minimum((named * BINS).astype(np.int64), BINS - 1)
    excess = right - named
    truth = np.zeros_like(probabilities)
    truth[np.arange(len(labels)), labels] = 1
    return Calibration(
        ece=_error(places, excess, np.ones(len(labels))),
        ece_ci95=_interval(places, excess),
        brier=float(((probabilities - truth) ** 2).sum(axis=1).mean()),
        confidence=float(named.mean()),
        bins=[
            Bin(i / BINS, (i + 1) / BINS, int(inside.sum()), float(named[inside].mean()), float(right[inside].mean()))
            for i in range(BINS)
            if (inside := places == i).any()
        ],
    )


def _error(places: NDArray[np.int64], excess: NDArray[np.float64], times: NDArray[np.float64]) -> float:
    """The error over a sample that holds each image so many times."""
    return float(np.abs(np.bincount(places, excess * times, BINS)).sum() / times.sum())


def _interval(places: NDArray[np.int64], excess: NDArray[np.float64]) -> tuple[float, float]:
    generator, n = np.random.default_rng(0), len(places)
    samples = (np.bincount(generator.integers(0, n, n), minlength=n).astype(np.float64) for _ in range(RESAMPLES))
    low, high = np.quantile([_error(places, excess, times) for times in samples], [0.025, 0.975])
    return float(low), float(high)
