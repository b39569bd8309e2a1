"""Integer sums as C: their bias, and the scale that makes codes or logits of them."""

from __future__ import annotations

from lenet_edge_exporters.c.constants import Constants
from lenet_edge_exporters.c.structures import padded
from lenet_edge_exporters.integer_program.sums import Sums

LANES = 8  # channels that are requantized at a time


def sums_fields(sums: Sums, name: str, constants: Constants) -> list[str]:
    """Declare bias and scale; return the initializers that refer to them."""
    bias = constants.array(f"{name}_bias", padded(sums.bias, LANES))
    scale = constants.array(f"{name}_scale", padded(sums.scale, LANES))
    zero = [] if sums.output_zero is None else [f".output_zero = {sums.output_zero}"]
    return [*zero, f".bias = {bias}", f".scale = {scale}"]
