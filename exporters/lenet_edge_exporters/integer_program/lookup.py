"""Activation functions of one code: a table of 256, https://onnx.ai/onnx/operators/onnx__Sigmoid.html and Relu.

onnxruntime's kernels for the sigmoid approximate, each in its own way; the scales that `activations` chooses keep
every entry so far from a tie that all of them round to the same code. tanh arrives here as a sigmoid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.integer_program.pooling import numbers_of
from lenet_edge_exporters.integer_program.program import Codes, Node, Scale, Step, Unrounded

Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class Lookup:
    """Every code replaced by its entry in the table, which are codes of this scale and zero point."""

    table: NDArray[np.uint8]
    size: int
    scale: Scale
    zero_point: int
    macs: ClassVar[int] = 0

    @property
    def output_size(self) -> int:
        return self.size


def reader(function: Callable[[Numbers], Numbers]) -> Callable[[Node], Unrounded]:
    """Reads a node that applies `function`, float32 to float32, to each number."""

    def read(node: Node) -> Unrounded:
        codes = node.codes()
        results = function(numbers_of(codes))

        def quantized(scale: Scale, zero_point: int) -> Step:
            return Lookup(as_codes(results, scale, zero_point), int(np.prod(codes.shape)), scale, zero_point)

        return Unrounded(codes.shape, quantized)

    return read


@dataclass(frozen=True)
class Decode:
    """The logits that codes stand for, where the last layer gives codes."""

    values: Numbers  # of the 256 codes
    size: int
    macs: ClassVar[int] = 0

    @property
    def output_size(self) -> int:
        return self.size


def read_gather(node: Node) -> tuple[Step, Codes]:
    """Gather from a table of 256 codes (`elementwise`); the DequantizeLinear behind it says what the result is."""
    table, codes = node.inputs
    if not isinstance(table, np.ndarray) or table.shape != (256,) or not isinstance(codes, Codes):
        raise node.refuse("but of codes from a table of 256")
    result = replace(codes, scale=np.float32(1), zero_point=0)
    return Lookup(table, int(np.prod(codes.shape)), result.scale, 0), result


def as_codes(numbers: Numbers, scale: Scale, zero_point: int) -> NDArray[np.uint8]:
    """Numbers as codes: rounded half to even, clipped to 0..255 (QuantizeLinear)."""
    codes: NDArray[np.uint8] = np.clip(np.rint(numbers / scale) + np.float32(zero_point), 0, 255).astype(np.uint8)
    return codes


def sigmoid(x: Numbers) -> Numbers:
    """1 / (1 + exp(-x)), computed in float64."""
    return (1 / (1 + np.exp(-x.astype(np.float64)))).astype(np.float32)


def read_leaky_relu(node: Node) -> Unrounded:
    """LeakyRelu, in float32 as onnxruntime makes its table."""
    slope = np.float32(node.attributes.get("alpha", 0.01))
    return reader(lambda x: np.where(x >= 0, x, x * slope).astype(np.float32))(node)


def relu(x: Numbers) -> Numbers:
    """max(x, 0)."""
    return np.maximum(x, np.float32(0))
