"""Latency by interleaved rounds over fresh sessions, with intervals that the noise between sessions sets.

In one process the block medians of one and the same file were 76.9, 39.2, 39.2, 39.0 and 39.1 us: sessions differ
by more than most effects that one wants to see. So each round opens every contender anew, in shuffled order, and
intervals come from resampling rounds, not calls (`resampling.py`). Two contenders of one measurement are compared
round by round: what slows a whole round down then falls out.
"""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime import resampling

Opener = Callable[[], Callable[[], object]]  # opens a fresh session and returns the call to be timed
Interval = tuple[float, float]


@dataclass(frozen=True)
class Timing:
    """Latency of one contender, in microseconds: percentiles over all calls of all rounds, with 95 % intervals.

    `p90_us` is None below 64 calls and `p99_us` below 662 (`calls_needed`). `round_medians_us` has the median of each
    round's calls, in the order of the rounds. Opening (with the file's reading) and the first call are the medians
    over rounds; neither they nor the calls of the warm-up are in the percentiles.
    """

    p50_us: float
    p90_us: float | None
    p99_us: float | None
    p50_ci95_us: Interval
    p90_ci95_us: Interval | None
    p99_ci95_us: Interval | None
    calls: int
    rounds: int
    round_medians_us: tuple[float, ...]
    load_us: float
    first_call_us: float

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read back what `dataclasses.asdict` and JSON made of one; other keys are left alone."""
        found: dict[str, Any] = {field.name: values[field.name] for field in fields(cls)}
        found = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
        return cls(**found)


@dataclass(frozen=True)
class Ratio:
    """Latency of one contender as a share of another's: the median over rounds, with its intervals.

    `ci99` is None where there are too few rounds for it (8). A difference is called one by it alone: of twenty
    comparisons of a file with itself one would be expected to leave the 95 % interval.
    """

    value: float
    ci95: Interval
    ci99: Interval | None

    @property
    def verdict(self) -> str:
        """`slower`, `faster`, `same` (no difference can be told), or `unknown` (too few rounds)."""
        if self.ci99 is None:
            return "unknown"
        return "slower" if self.ci99[0] > 1 else "faster" if self.ci99[1] < 1 else "same"


def measure(openers: Mapping[str, Opener], *, rounds: int, calls: int, warmup: int, seed: int = 0) -> dict[str, Timing]:
    """Time every contender `calls` times in each of `rounds` rounds, after `warmup` calls that do not count.

    The first call is one of the warm-up's and is timed apart. In every round each contender gets a fresh session and
    the order is shuffled with `seed`.
    """
    shuffle = random.Random(seed)
    samples: dict[str, list[NDArray[np.float64]]] = {name: [] for name in openers}
    starts: dict[str, list[tuple[float, float]]] = {name: [] for name in openers}
    for _ in range(rounds):
        order = list(openers)
        shuffle.shuffle(order)
        for name in order:
            call, load_us = _timed(openers[name])
            _, first_us = _timed(call)
            starts[name].append((load_us, first_us))
            samples[name].append(_time_calls(call, calls, warmup - 1))
            del call  # its session is closed before the next is opened
    return {name: summarise(np.stack(rows), starts[name], seed) for name, rows in samples.items()}


def summarise(microseconds: NDArray[np.float64], starts: Sequence[tuple[float, float]], seed: int = 0) -> Timing:
    """Percentiles of [rounds, calls] and their intervals; `starts`: opening and first call of each round, in us."""
    wanted = [p for p in (50, 90, 99) if p == 50 or microseconds.size >= calls_needed(p)]
    values = dict(zip(wanted, map(float, np.percentile(microseconds, wanted)), strict=True))
    intervals = dict(zip(wanted, resampling.percentile_intervals(microseconds, wanted, seed=seed), strict=True))
    load_us, first_us = np.median(starts, axis=0)
    return Timing(
        p50_us=values[50],
        p90_us=values.get(90),
        p99_us=values.get(99),
        p50_ci95_us=intervals[50],
        p90_ci95_us=intervals.get(90),
        p99_ci95_us=intervals.get(99),
        calls=int(microseconds.size),
        rounds=len(microseconds),
        round_medians_us=tuple(map(float, np.median(microseconds, axis=1))),
        load_us=float(load_us),
        first_call_us=float(first_us),
    )


def calls_needed(percentile: float) -> int:
    """The fewest calls for which a percentile means something: 64 for the 90th, 662 for the 99th.

    The binomial rule of MLPerf LoadGen's early stopping: with n calls it is 99 % sure that at least two are slower
    than the true percentile. 1 - P(none) - P(one) >= 0.99.
    """
    p, n = percentile / 100, 1
    while p**n + n * (1 - p) * p ** (n - 1) > 0.01:
        n += 1
    return n


def paired_ratio(one: Timing, other: Timing) -> Ratio:
    """How long `one` takes as a share of `other`, measured in the same rounds: the median ratio of their medians."""
    logs = np.log(one.round_medians_us) - np.log(other.round_medians_us)
    return _ratio(float(np.median(logs)), len(logs), lambda level: resampling.median_interval(logs, level))


def unpaired_ratio(one: Timing, other: Timing) -> Ratio:
    """How long `one` takes as a share of `other`, measured apart: the ratio of the medians of their rounds' medians.

    The interval knows the noise between sessions, not what changed on the machine between the two measurements.
    """
    ours, theirs = np.log(one.round_medians_us), np.log(other.round_medians_us)
    return _ratio(
        float(np.median(ours) - np.median(theirs)),
        min(len(ours), len(theirs)),
        lambda level: resampling.difference_interval(ours, theirs, level),
    )


def _ratio(log: float, rounds: int, interval: Callable[[float], Interval]) -> Ratio:
    def ends(level: float) -> Interval:
        low, high = interval(level)
        return math.exp(low), math.exp(high)

    enough = rounds >= resampling.minimum_rounds(resampling.CALL_LEVEL)
    return Ratio(math.exp(log), ends(0.95), ends(resampling.CALL_LEVEL) if enough else None)


def _timed(action: Callable[[], Any]) -> tuple[Any, float]:
    """The action's result and the microseconds that it took."""
    start = time.perf_counter_ns()
    result = action()
    return result, (time.perf_counter_ns() - start) / 1000


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
