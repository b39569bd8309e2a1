"""Scales of int8 weights with which kernels in fixed point round as those in floating point do, bit for bit.

A layer's sum of products becomes a code by the factor input scale * weight scale / output scale. onnxruntime and
XNNPACK multiply once in float32. TFLite's reference kernels, TensorFlow Lite Micro and CMSIS-NN multiply by
m * 2^-n, 0.5 <= m < 1, and round twice: to multiples of 2^-n (SaturatingRoundingDoublingHighMul), then to whole codes
(RoundingDivideByPOT), https://github.com/google/gemmlowp/blob/master/fixedpoint/fixedpoint.h. So they round up what is
less than 2^-n / 2 below a half, and a layer's wrong codes add up in the next.

Where the factor is 1 / (2 q), with a whole q, a sum is exactly at a half or at least 1 / (2 q) away from it, which is
more than 2^-n / 2 unless q is a power of two. A factor that is greater by a hair puts every half beyond itself, so that
no kernel's rule for ties matters; the hair is wider than the error of those who compute in float32 in another order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HAIR = 2.0**-12  # of the factor, times 2^-n
CODES = 2.0**8  # no code is so far from the zero point
DIVISORS = 3, 2047  # q beyond which scales stay: greater ones are missed by less than one sum in 8192
LESS = 63 / 64  # the next q to try: those that do not fit lie side by side, below a power of two


def without_ties(steps: NDArray[np.float32], source: np.float32, target: np.float32) -> NDArray[np.float32]:
    """Weight scales [channels] of which this holds, as little above `steps` as may be.

    `source` and `target` are the scales of the layer's inputs and outputs. The weights' grow by a share of 1 / (4 q) on
    average, and by an eighth where 2 q is near a power of two; they stay where q would be beyond `DIVISORS`.
    """
    least, greatest = DIVISORS
    found = steps.copy()
    divisors = np.floor(1 / (2 * _factors(steps, source, target).max(0)))
    left = np.flatnonzero((divisors >= least) & (divisors <= greatest))
    while len(left):
        scales = _least_scales(divisors[left], source, target)
        fits = _fits(scales, divisors[left], source, target) & (scales >= steps[left])
        found[left[fits]] = scales[fits]
        divisors[left] = np.floor(divisors[left] * LESS)
        left = left[~fits & (divisors[left] >= least)]
    return found


def _least_scales(divisors: NDArray[np.float64], source: np.float32, target: np.float32) -> NDArray[np.float32]:
    """The least scales whose factor is by a hair or more above 1 / (2 * divisor), in float32 and in float64."""
    least = (1 + _hair(divisors)) / (2 * divisors)
    scales = (least * (np.float64(target) / np.float64(source))).astype(np.float32)
    for _ in range(4):
        beyond = _factors(scales, source, target).min(0) >= least
        scales = np.where(beyond, scales, np.nextafter(scales, np.float32(np.inf)))
    return scales


def _hair(divisors: NDArray[np.float64]) -> NDArray[np.float64]:
    return HAIR * np.exp2(np.frexp(1 / (2 * divisors))[1])


def _fits(
    scales: NDArray[np.float32], divisors: NDArray[np.float64], source: np.float32, target: np.float32
) -> NDArray[np.bool_]:
    """Whether every tie is beyond its half, and the sum before it is not rounded there even at the greatest code."""
    factors = _factors(scales, source, target) * 2 * divisors
    m, exponents = np.frexp(1 / (2 * divisors))
    excess = factors.max(0) - 1
    fits: NDArray[np.bool_] = (factors.min(0) >= 1 + _hair(divisors)) & (m - 0.5 > excess * CODES * np.exp2(-exponents))
    return fits


def _factors(scales: NDArray[np.float32], source: np.float32, target: np.float32) -> NDArray[np.float64]:
    """What sums are multiplied by, [2, channels]: in float32 as by onnxruntime and XNNPACK, in float64 as by TFLite."""
    single = (source * scales).astype(np.float32) / target
    return np.stack([single.astype(np.float64), np.float64(source) * scales.astype(np.float64) / np.float64(target)])
