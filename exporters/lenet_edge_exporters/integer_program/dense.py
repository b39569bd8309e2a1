"""Dense layers: https://onnx.ai/onnx/operators/onnx__Gemm.html."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.integer_program.program import Codes, Node, Scale, Step, Stored, Unrounded
from lenet_edge_exporters.integer_program.sums import Sums, sums_of


@dataclass(frozen=True)
class Dense:
    """Sums of products of all codes, requantized; or, of the last layer, as they are."""

    weights: NDArray[np.int8]  # [outputs, inputs], the inputs as they lie in memory
    sums: Sums

    @property
    def output_size(self) -> int:
        return len(self.weights)

    @property
    def macs(self) -> int:
        return int(self.weights.size)


def read(node: Node) -> Unrounded:
    """Gemm on codes, with constant weights and bias."""
    codes = node.codes()
    weight = node.inputs[1]
    if not isinstance(weight, Stored):
        raise node.refuse("with weights that are not constant")
    for attribute, only in {"alpha": 1.0, "beta": 1.0, "transA": 0}.items():
        node.require(attribute, only)
    if not node.attributes.get("transB", 0):
        raise node.refuse("with weights [inputs, outputs]")
    if len(codes.shape) == 3 and not codes.flattened:
        raise node.refuse(f"on a tensor of shape {codes.shape}")
    weights = channels_last(weight.centred, codes).astype(np.int8)
    sums = sums_of(node, codes, weight)

    def quantized(scale: Scale, zero_point: int) -> Step:
        return Dense(weights, sums.quantized(scale, zero_point))

    return Unrounded((len(weights),), quantized, lambda: Dense(weights, sums))


def channels_last(weights: NDArray[np.int64], codes: Codes) -> NDArray[np.int64]:
    """Columns in the order in which a flattened image lies in memory; ONNX flattens channels first."""
    if len(codes.shape) != 3:
        return weights
    images = weights.reshape(len(weights), *codes.shape)
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1)).reshape(weights.shape)
