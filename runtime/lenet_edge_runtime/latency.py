"""Latency by interleaved rounds over fresh sessions, with an interval that the noise between sessions sets.

In one process the block medians of one and the same file were 76.9, 39.2, 39.2, 39.0 and 39.1 us: sessions differ
by more than most effects that one wants to see. So each round opens every contender anew, in shuffled order, and
the interval of the median comes from resampling rounds, not calls (a cluster bootstrap, Efron & Tibshirani 1993).
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Opener = Callable[[], Callable[[], object]]  # opens a fresh session and returns the call to be timed

P99_SAMPLES = 662  # calls below which a p99 means nothing (binomial rule of MLPerf LoadGen)


@dataclass(frozen=True)
class Timing:
    """Percentiles over all calls of one contender, in microseconds; `p99_us` is None below 662 calls."""

    p50_us: float
    p90_us: float
    p99_us: float | None
    p50_ci95_us: tuple[float, float]
    calls: int
    rounds: int


def measure(openers: Mapping[str, Opener], *, rounds: int, calls: int, warmup: int, seed: int = 0) -> dict[str, Timing]:
    """Time every contender `calls` times in each of `rounds` rounds, after `warmup` calls that do not count.

    In every round each contender gets a fresh session and the order is shuffled with `seed`.
    """
    shuffle = random.Random(seed)
    samples: dict[str, list[NDArray[np.float64]]] = {name: [] for name in openers}
    for _ in range(rounds):
        order = list(openers)
        shuffle.shuffle(order)
        for name in order:
            samples[name].append(_time_calls(openers[name](), calls, warmup))
    return {name: summarise(np.stack(rows), seed) for name, rows in samples.items()}


def summarise(microseconds: NDArray[np.float64], seed: int = 0, resamples: int = 1000) -> Timing:
    """Percentiles of [rounds, calls] and the 95 % interval of the median by bootstrap over rounds."""
    rounds = len(microseconds)
    random_rounds = np.random.default_rng(seed).integers(0, rounds, size=(resamples, rounds))
    medians = [float(np.median(microseconds[chosen])) for chosen in random_rounds]
    p50, p90, p99 = np.percentile(microseconds, [50, 90, 99])
    low, high = np.percentile(medians, [2.5, 97.5])
    return Timing(
        p50_us=float(p50),
        p90_us=float(p90),
        p99_us=float(p99) if microseconds.size >= P99_SAMPLES else None,
        p50_ci95_us=(float(low), float(high)),
        calls=int(microseconds.size),
        rounds=rounds,
    )


def _time_calls(call: Callable[[], object], calls: int, warmup: int) -> NDArray[np.float64]:
    for _ in range(warmup):
        call()
    nanoseconds = np.empty(calls, dtype=np.float64)
    clock = time.perf_counter_ns
    for i in range(calls):
        start = clock()
        call()
        nanoseconds[i] = clock() - start
    return nanoseconds / 1000
