"""What convolutions and dense layers share: integer sums, their bias, and the scales that make codes of them.

The order of roundings is onnxruntime's (MlasRequantizeOutput) and XNNPACK's: input scale times weight scale in
float32, then divided by the output's scale in float32.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.integer_program.program import Codes, Node, Scale, Stored


@dataclass(frozen=True)
class Sums:
    """sum of weights * codes + bias, times scale. `output_scale` and `output_zero` are None for logits, no codes."""

    bias: NDArray[np.int32]  # with the input's zero point folded in
    input_scale: Scale
    input_zero: int
    weight_scale: NDArray[np.float32]  # one an output channel
    output_scale: Scale | None = None
    output_zero: int | None = None

    @property
    def scale(self) -> NDArray[np.float32]:
        """What a sum is multiplied by, one number an output channel: for a code, or for a logit."""
        product = (self.input_scale * self.weight_scale).astype(np.float32)
        return product if self.output_scale is None else (product / self.output_scale).astype(np.float32)

    def quantized(self, scale: Scale, zero_point: int) -> Sums:
        """With the output as codes of this scale and zero point."""
        return replace(self, output_scale=scale, output_zero=zero_point)


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
    scales = np.broadcast_to(weight.scale, len(centred)).astype(np.float32)
    return Sums(folded.astype(np.int32), codes.scale, codes.zero_point, scales)
