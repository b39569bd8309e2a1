"""What convolutions and dense layers share: integer sums, their bias, and the scale that makes codes of them.

The order of roundings is onnxruntime's (MlasRequantizeOutput): input scale times weight scale in float32, then divided
by the output's scale in float32.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.c.constants import Constants
from lenet_edge_exporters.c.program import Codes, Node, Scale, Stored, padded

LANES = 8  # channels that are requantized at a time


@dataclass(frozen=True)
class Sums:
    """sum of weights * codes + bias, times scale. `output_zero` is None for logits, which are no codes."""

    bias: NDArray[np.int32]  # with the input's zero point folded in
    scale: NDArray[np.float32]
    input_zero: int
    output_zero: int | None = None

    def quantized(self, scale: Scale, zero_point: int) -> Sums:
        """With the output as codes of this scale and zero point."""
        return replace(self, scale=(self.scale / scale).astype(np.float32), output_zero=zero_point)

    def fields(self, name: str, constants: Constants) -> list[str]:
        """Declare bias and scale; return the initializers that refer to them."""
        bias = constants.array(f"{name}_bias", padded(self.bias, LANES))
        scale = constants.array(f"{name}_scale", padded(self.scale, LANES))
        zero = [] if self.output_zero is None else [f".output_zero = {self.output_zero}"]
        return [*zero, f".bias = {bias}", f".scale = {scale}"]


def sums_of(node: Node, codes: Codes, weight: Stored) -> Sums:
    """The sums of a node with inputs codes, weights and, maybe, a bias.

    Raises UnsupportedError where the weights do not fit into int8, or a sum might not fit into int32.
    """
    centred = weight.centred
    if np.abs(centred + 0.5).max() > 128:
        raise node.refuse("with weights beyond -128..127")
    bias = np.zeros(len(centred), np.int64)
    if len(node.inputs) > 2:
        stored = node.inputs[2]
        if not isinstance(stored, Stored):
            raise node.refuse("with a bias that is not constant")
        bias = stored.codes.astype(np.int64)
    flat = centred.reshape(len(centred), -1)
    folded = bias - codes.zero_point * flat.sum(1)
    if (np.abs(folded) + 255 * np.abs(flat).sum(1)).max() >= 2**31:
        raise node.refuse("with sums beyond 32 bits")
    scale = np.broadcast_to(codes.scale * weight.scale, len(centred)).astype(np.float32)
    return Sums(folded.astype(np.int32), scale, codes.zero_point)
