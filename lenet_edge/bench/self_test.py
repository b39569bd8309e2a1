"""The A/A test of `lenet-edge bench`: a file against its own copy, many times, has to show no difference."""

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet_edge.bench.measuring import BenchPlan, open_call
from lenet_edge_exporters.formats import read_content, write_content
from lenet_edge_runtime.latency import Opener, Ratio, measure, paired_ratio

REPEATS = 20
ALLOWED = 1  # differences found in so many repeats; at 99 % a sound measurement finds more in 1.7 % of such tests


@dataclass(frozen=True)
class SelfTest:
    """What comparing a file with its copy found.

    `differences`: repeats in which one was called (the 99 % interval of the ratio leaves out 1); `outside_95`: in
    which the 95 % interval does, as 1 of 20 is expected to. `resolution` is half the width of the 99 % interval in
    the typical repeat: the least relative difference that this measurement can see on this machine now.
    """

    path: str
    batch: int
    threads: int
    api: str
    repeats: int
    differences: int
    outside_95: int
    resolution: float
    ratios: tuple[Ratio, ...]
    passed: bool


def run_self_test(
    path: Path, pixels: NDArray[np.uint8], *, batch: int, threads: int, plan: BenchPlan, repeats: int = REPEATS
) -> SelfTest:
    """Time an exported file (or folder) and a byte-for-byte copy of it as `bench` times two files, `repeats` times."""
    images = np.resize(pixels, (batch, *pixels.shape[1:]))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        write_content(copy, read_content(path))

        def opener(file: Path) -> Opener:
            return lambda: open_call(file, images, threads, plan.api)

        pair = {"file": opener(path), "copy": opener(copy)}
        ratios = [_ratio(pair, plan, seed) for seed in range(repeats)]
    return judge(str(path), ratios, batch=batch, threads=threads, api=plan.api)


def judge(path: str, ratios: list[Ratio], *, batch: int, threads: int, api: str) -> SelfTest:
    """Count the differences among ratios of which every one is truly 1; they need at least 8 rounds each."""
    differences = _outside(ratios, lambda ratio: ratio.ci99)
    widths = [(ratio.ci99[1] - ratio.ci99[0]) / 2 for ratio in ratios if ratio.ci99]
    return SelfTest(
        path=path,
        batch=batch,
        threads=threads,
        api=api,
        repeats=len(ratios),
        differences=differences,
        outside_95=_outside(ratios, lambda ratio: ratio.ci95),
        resolution=statistics.median(widths),
        ratios=tuple(ratios),
        passed=differences <= ALLOWED,
    )


def _ratio(pair: dict[str, Opener], plan: BenchPlan, seed: int) -> Ratio:
    found = measure(pair, rounds=plan.rounds, calls=plan.calls, warmup=plan.warmup, seed=seed)
    return paired_ratio(found["copy"], found["file"])


def _outside(ratios: list[Ratio], interval: Callable[[Ratio], tuple[float, float] | None]) -> int:
    return sum(ends is not None and not ends[0] <= 1 <= ends[1] for ends in map(interval, ratios))
