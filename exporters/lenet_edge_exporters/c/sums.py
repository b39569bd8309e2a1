"""Integer sums as C: their bias, and the scale that makes codes or logits of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.c.constants import Constants
from lenet_edge_exporters.c.structures import padded
from lenet_edge_exporters.integer_program.sums import Sums

LANES = 8  # channels that are requantized at a time


def sums_fields(sums: Sums, name: str, constants: Constants, weights: NDArray[np.int8] | None = None) -> list[str]:
    """Declare bias and scale; return the initializers that refer to them.

    `weights` [channels, ...] are those of kernels that may multiply codes less 128 (LENET_SIGNED, `kernels/prelude.c`):
    then the bias holds 128 times the sum of a channel's weights.
    """
    bias = padded(sums.bias, LANES)
    if weights is None:
        bias_name = constants.array(f"{name}_bias", bias)
    else:
        bias_name = f"{name}_bias"
        shift = 128 * weights.reshape(len(weights), -1).sum(1, dtype=np.int32)
        constants.alternatives({"LENET_SIGNED": (bias_name, padded(sums.bias + shift, LANES))}, (bias_name, bias))
    scale = constants.array(f"{name}_scale", padded(sums.scale, LANES))
    zero = [] if sums.output_zero is None else [f".output_zero = {sums.output_zero}"]
    return [*zero, f".bias = {bias_name}", f".scale = {scale}"]
