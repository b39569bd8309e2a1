"""Latency: percentiles, interleaving, ratios and whether their intervals keep what they promise; the host."""

import getpass
import itertools
import json
import socket
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lenet_edge_runtime import latency, resampling
from lenet_edge_runtime.host import describe_host, is_busy, resident_bytes
from lenet_edge_runtime.latency import Timing, calls_needed, measure, paired_ratio, summarise, unpaired_ratio

Floats = NDArray[np.float64]


def summary(samples: Floats) -> Timing:
    return summarise(samples, [(2000.0, 50.0)] * len(samples))


def of_rounds(medians: Floats) -> Timing:
    """A contender of which only the medians of its rounds matter."""
    middle = float(np.median(medians))
    return Timing(middle, None, None, (middle, middle), None, None, len(medians), len(medians), tuple(medians), 1, 1)


# --- percentiles and their intervals --------------------------------------------------------------------------------


def test_percentiles_are_numpys() -> None:
    samples = np.random.default_rng(0).gamma(4, 10, size=(10, 100))
    found = summary(samples)
    assert (found.p50_us, found.p90_us, found.p99_us) == pytest.approx(tuple(np.percentile(samples, [50, 90, 99])))
    assert found.calls == 1000
    assert found.round_medians_us == pytest.approx(tuple(np.median(samples, axis=1)))
    for value, interval in ((found.p50_us, found.p50_ci95_us), (found.p99_us, found.p99_ci95_us)):
        assert interval is not None
        assert interval[0] < value < interval[1]  # type: ignore[operator]


@pytest.mark.parametrize(("percentile", "calls"), [(90, 64), (95, 130), (99, 662)])
def test_calls_needed_are_those_of_loadgen(percentile: float, calls: int) -> None:
    """MLPerf's tables; and by the binomial distribution: fewer than two slow calls are 1 % likely at most."""
    assert calls_needed(percentile) == calls
    slow = 1 - percentile / 100
    assert scipy.stats.binom.cdf(1, calls, slow) <= 0.01 < scipy.stats.binom.cdf(1, calls - 1, slow)


def test_percentiles_need_enough_calls() -> None:
    assert summary(np.ones((3, 21))).p90_us is None
    assert summary(np.ones((2, 32))).p90_us == 1
    assert summary(np.ones((2, 330))).p99_us is None
    assert summary(np.ones((2, 330))).p99_ci95_us is None
    assert summary(np.ones((2, 331))).p99_us == 1


@given(st.floats(1, 1e5), st.integers(2, 10))
def test_interval_of_constant_times_has_no_width(value: float, rounds: int) -> None:
    assert summary(np.full((rounds, 5), value)).p50_ci95_us == (value, value)


def test_interval_shows_the_noise_between_sessions() -> None:
    """Calls of one session agree with each other: more of them would not make the interval honest."""
    medians = np.array([39.0, 39.2, 76.9, 39.1, 39.0, 60.0, 39.2, 39.0])
    low, high = summary(np.repeat(medians[:, None], 1000, axis=1)).p50_ci95_us
    assert low < 39.2
    assert high > 45


def test_interval_covers_the_median_of_sessions() -> None:
    """Of few rounds too, where the plain percentile interval covers 0.90."""
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        sessions = generator.normal(100, 10, size=(10, 1)) + generator.normal(0, 1, size=(10, 20))
        low, high = summary(sessions).p50_ci95_us
        covered += low <= 100 <= high
    assert 0.92 <= covered / 300 <= 0.99


@pytest.mark.parametrize("freedom", [4, 7, 9, 19, 39])
@pytest.mark.parametrize("probability", [0.975, 0.995])
def test_student_quantile(probability: float, freedom: int) -> None:
    expected = float(scipy.stats.t.ppf(probability, freedom))
    assert resampling.student_quantile(probability, freedom) == pytest.approx(expected, rel=0.003)


def test_minimum_rounds_are_the_sign_tests() -> None:
    assert [resampling.minimum_rounds(level) for level in (0.9, 0.95, 0.99)] == [5, 6, 8]


# --- ratios ---------------------------------------------------------------------------------------------------------


def sessions(generator: np.random.Generator, kind: str, rounds: int) -> Floats:
    """Latencies of sessions, log-scale noise: even, with some slow ones, or with two speeds (as memory is laid out)."""
    noise = generator.normal(0, 0.01, rounds)
    if kind == "slow":
        noise += (generator.random(rounds) < 0.15) * generator.uniform(0.1, 0.7, rounds)
    elif kind == "two speeds":
        noise += 0.3 * (generator.random(rounds) < 0.5)
    return np.asarray(40 * np.exp(noise))


@pytest.mark.parametrize("rounds", [8, 10, 20])
@pytest.mark.parametrize(
    ("paired", "kind"), [(True, "even"), (True, "slow"), (True, "two speeds"), (False, "even"), (False, "slow")]
)
def test_intervals_of_a_ratio_cover(kind: str, rounds: int, paired: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a contender and itself: the ratio is 1, whatever slows whole rounds down."""
    monkeypatch.setattr(resampling, "RATIO_RESAMPLES", 2000)
    generator, n = np.random.default_rng(rounds), 300
    covered = {"ci95": 0, "ci99": 0}
    for _ in range(n):
        spell = generator.uniform(1, 2, rounds) if paired else np.ones(rounds)
        one, other = (of_rounds(spell * sessions(generator, kind, rounds)) for _ in range(2))
        found = (paired_ratio if paired else unpaired_ratio)(one, other)
        for name in covered:
            low, high = getattr(found, name)
            covered[name] += low <= 1 <= high
    assert covered["ci95"] / n >= 0.92
    assert covered["ci99"] / n >= 0.975


def test_ratio_of_a_real_difference() -> None:
    generator = np.random.default_rng(3)
    one, other = (of_rounds(factor * sessions(generator, "slow", 20)) for factor in (1.1, 1.0))
    for found in (paired_ratio(one, other), unpaired_ratio(one, other)):
        assert found.verdict == "slower"
        assert found.value == pytest.approx(1.1, rel=0.03)
        assert found.ci99 is not None
        assert found.ci99[0] <= found.ci95[0] < 1.1 < found.ci95[1] <= found.ci99[1]
    assert paired_ratio(other, one).verdict == "faster"
    assert paired_ratio(one, one).verdict == "same"


def test_seven_rounds_call_no_difference() -> None:
    one, other = of_rounds(np.full(7, 2.0)), of_rounds(np.full(7, 1.0))
    assert paired_ratio(one, other).ci99 is None
    assert paired_ratio(one, other).verdict == "unknown"


def test_timing_comes_back_from_json() -> None:
    found = summary(np.random.default_rng(0).gamma(4, 10, size=(8, 100)))
    assert Timing.from_json(json.loads(json.dumps(asdict(found)))) == found


# --- interleaving ---------------------------------------------------------------------------------------------------


def test_rounds_interleave_fresh_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    called: dict[str, int] = {"a": 0, "b": 0}

    def opener(name: str) -> latency.Opener:
        def open_session() -> object:
            opened.append(name)

            def call() -> None:
                called[name] += 1

            return call

        return open_session

    ticks = itertools.count(step=1000)
    monkeypatch.setattr(latency.time, "perf_counter_ns", lambda: next(ticks))
    timings = measure({"a": opener("a"), "b": opener("b")}, rounds=8, calls=5, warmup=2)
    assert called == {"a": 56, "b": 56}
    pairs = [tuple(opened[i : i + 2]) for i in range(0, 16, 2)]
    assert set(pairs) == {("a", "b"), ("b", "a")}
    assert timings["a"].p50_us == 1.0
    assert (timings["a"].load_us, timings["a"].first_call_us) == (1.0, 1.0)


def test_host_is_described_but_not_named() -> None:
    host = describe_host()
    assert host["cpu"]
    assert host["cores"] >= 1
    assert {"python", "onnxruntime", "numpy"} <= set(host["versions"])
    text = json.dumps(host)
    assert socket.gethostname() not in text
    assert getpass.getuser() not in text or len(getpass.getuser()) < 5


def test_first_call_is_apart() -> None:
    """A first call that sleeps is in `first_call_us` and in no percentile."""
    import time

    def opener() -> object:
        calls = itertools.count()
        return lambda: time.sleep(0.01) if next(calls) == 0 else None

    found = measure({"a": opener}, rounds=2, calls=40, warmup=1)["a"]  # type: ignore[dict-item]
    assert found.first_call_us >= 10_000 > (found.p90_us or 0)


def test_busy_host() -> None:
    host = {"cores": 2, "load_1min": 1.5}
    assert is_busy(host)
    assert not is_busy({**host, "load_1min": 0.9})
    assert not is_busy({**host, "load_1min": None})


def test_resident_bytes_grow_with_what_is_kept() -> None:
    """In a process of its own: from one as large as the tests' the system may take other memory meanwhile."""
    if resident_bytes() is None:
        pytest.skip("this system does not tell (all but Linux)")
    code = (
        "import numpy as np; from lenet_edge_runtime.host import resident_bytes as now\n"
        "before = now(); kept = np.ones(50_000_000, np.uint8); print(now() - before)"
    )
    grown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(grown.stdout) == pytest.approx(50_000_000, rel=0.1)
