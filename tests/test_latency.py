"""Latency: percentiles and their interval, interleaving, and what the host says of itself."""

import getpass
import itertools
import json
import socket

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet_edge_runtime import latency
from lenet_edge_runtime.host import describe_host
from lenet_edge_runtime.latency import P99_SAMPLES, measure, summarise


def test_percentiles_are_numpys() -> None:
    samples = np.random.default_rng(0).gamma(4, 10, size=(10, 100))
    found = summarise(samples)
    assert (found.p50_us, found.p90_us, found.p99_us) == pytest.approx(tuple(np.percentile(samples, [50, 90, 99])))
    assert found.calls == 1000


def test_p99_needs_enough_calls() -> None:
    assert summarise(np.ones((2, P99_SAMPLES // 2 - 1))).p99_us is None
    assert summarise(np.ones((2, P99_SAMPLES // 2))).p99_us == 1


@given(st.floats(1, 1e5), st.integers(2, 10))
def test_interval_of_constant_times_has_no_width(value: float, rounds: int) -> None:
    assert summarise(np.full((rounds, 5), value)).p50_ci95_us == (value, value)


def test_interval_shows_the_noise_between_sessions() -> None:
    """Calls of one session agree with each other: more of them would not make the interval honest."""
    medians = np.array([39.0, 39.2, 76.9, 39.1, 39.0, 60.0, 39.2, 39.0])
    low, high = summarise(np.repeat(medians[:, None], 1000, axis=1)).p50_ci95_us
    assert low < 39.2
    assert high > 45


def test_interval_covers_the_median_of_sessions() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        sessions = generator.normal(100, 10, size=(20, 1)) + generator.normal(0, 1, size=(20, 50))
        low, high = summarise(sessions, resamples=200).p50_ci95_us
        covered += low <= 100 <= high
    assert 0.85 < covered / 200 <= 1


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


def test_host_is_described_but_not_named() -> None:
    host = describe_host()
    assert host["cpu"]
    assert host["cores"] >= 1
    assert {"python", "onnxruntime", "numpy"} <= set(host["versions"])
    text = json.dumps(host)
    assert socket.gethostname() not in text
    assert getpass.getuser() not in text or len(getpass.getuser()) < 5
