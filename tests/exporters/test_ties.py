"""Weight scales without ties: fixed point, rounded twice or once, gives the codes that float32 gives, for every sum."""

import numpy as np
import pytest

from export_jobs import make_job
from lenet_edge_exporters import int8
from lenet_edge_exporters.int8.ties import DIVISORS, without_ties
from lenet_edge_exporters.integer_program import graph

SCALES = np.random.default_rng(0).uniform(-6, 1, (40, 2))  # logarithms of the scales of a layer's inputs and outputs


def by_float32(sums: np.ndarray, source: np.float32, step: np.float32, target: np.float32) -> np.ndarray:
    """As onnxruntime and XNNPACK: one multiplication in float32, half to even."""
    return np.rint(sums.astype(np.float32) * (source * step / target)).astype(np.int64)


def in_fixed_point(
    sums: np.ndarray, source: np.float32, step: np.float32, target: np.float32, *, twice: bool
) -> np.ndarray:
    """TFLite's MultiplyByQuantizedMultiplier, written from its definition: by 31 bits and a shift, ties away from 0."""
    mantissa, exponent = np.frexp(np.float64(source) * np.float64(step) / np.float64(target))
    products = sums.astype(object) * round(float(mantissa) * 2**31)
    if not twice:
        return np.array([rounded(product, 31 - int(exponent)) for product in products])
    return np.array([rounded(rounded(product, 31), -int(exponent)) for product in products])


def rounded(number: int, bits: int) -> int:
    """number / 2^bits, half away from zero."""
    size = (abs(number) + (1 << bits >> 1)) >> bits
    return size if number >= 0 else -size


def hardest_sums(factor: float) -> np.ndarray:
    """Those next to every half of a code, and some at random."""
    halves = np.rint((np.arange(-255, 255) + 0.5) / factor).astype(np.int64)
    others = np.random.default_rng(1).integers(-int(255 / factor), int(255 / factor), 500)
    return np.concatenate([halves - 1, halves, halves + 1, others])


def steps_of(source: np.float32, target: np.float32) -> np.ndarray:
    """Weight scales with factors all over the range in which they are changed."""
    divisors = np.geomspace(DIVISORS[0] + 0.5, DIVISORS[1] - 0.5, 12)
    return (np.float64(target) / (2 * np.float64(source) * divisors)).astype(np.float32)


@pytest.mark.parametrize("twice", [True, False])
def test_fixed_point_rounds_every_sum_as_float32_does(twice: bool) -> None:
    for source, target in np.exp(SCALES).astype(np.float32):
        for step in without_ties(steps_of(source, target), source, target):
            sums = hardest_sums(float(source * step / target))
            found = in_fixed_point(sums, source, step, target, twice=twice)
            np.testing.assert_array_equal(found, by_float32(sums, source, step, target))


def test_scales_as_they_come_are_rounded_another_way() -> None:
    source, target = np.float32(0.02), np.float32(0.05)
    step = np.float32(0.0123)
    sums = hardest_sums(float(source * step / target))
    assert (in_fixed_point(sums, source, step, target, twice=True) != by_float32(sums, source, step, target)).any()


def test_scales_grow_and_by_little() -> None:
    for source, target in np.exp(SCALES).astype(np.float32):
        steps = steps_of(source, target)
        growth = without_ties(steps, source, target) / steps
        assert growth.min() >= 1
        assert growth.max() < 2
        assert np.median(growth) < 1.05


def test_scales_beyond_what_can_be_helped_stay() -> None:
    source = target = np.float32(0.1)
    steps = np.array([1, 0.2, 1e-4, 1e-9], np.float32)
    np.testing.assert_array_equal(without_ties(steps, source, target), steps)


@pytest.mark.parametrize("net", ["lenet5", "lenet5-classic", "fashion-cnn", "digits-cnn", "user's own"])
def test_hidden_layers_of_a_file_have_such_scales(net: str) -> None:
    """Every factor is a hair above one over an even number."""
    sums = [
        item.step.sums
        for item in graph.operations(int8.plain_graph(make_job(net)), "a test")
        if hasattr(item.step, "sums")
    ]
    hidden = [item for item in sums if item.output_scale is not None]
    assert len(hidden) > 1
    for item in hidden:
        divisors = 1 / (2 * item.scale.astype(np.float64))
        below = np.rint(divisors) / divisors - 1
        assert below.min() > 0
        assert below.max() < 2**-16
