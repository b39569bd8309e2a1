"""Dense layers: https://onnx.ai/onnx/operators/onnx__Gemm.html."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.c.constants import Constants
from lenet_edge_exporters.c.program import Codes, Node, Scale, Step, Stored, Unrounded, padded, structure
from lenet_edge_exporters.c.sums import Sums, sums_of

LANES = 16  # values that the widest kernel takes from a row of weights at a time


@dataclass(frozen=True)
class Dense:
    """Sums of products of all codes, requantized and looked up in a table if there is one; or logits."""

    weights: NDArray[np.int8]  # [outputs, inputs], the inputs as they lie in memory
    sums: Sums
    table: NDArray[np.uint8] | None = None

    @property
    def is_last(self) -> bool:
        return self.sums.output_zero is None

    @property
    def kernels(self) -> tuple[str, ...]:
        return ("dot", "dense", "dense_logits") if self.is_last else ("requantize", "dot", "dense", "dense_codes")

    @property
    def output_size(self) -> int:
        return len(self.weights)

    @property
    def macs(self) -> int:
        return int(self.weights.size)

    @property
    def work(self) -> int:
        inputs = int(self.weights.shape[1])
        return inputs + -inputs % LANES

    def declare(self, name: str, constants: Constants) -> str:
        rows = padded(self.weights, LANES)
        fields = [
            f".inputs = {self.weights.shape[1]}",
            f".outputs = {len(self.weights)}",
            f".pitch = {rows.shape[1]}",
            f".weights = {constants.array(f'{name}_weights', rows)}",
            *self.sums.fields(name, constants),
        ]
        if self.table is not None:
            fields.append(f".table = {constants.array(f'{name}_table', self.table)}")
        return structure("lenet_dense", name, fields)

    def call(self, name: str, source: str, target: str) -> str:
        kernel = "lenet_multiply_last" if self.is_last else "lenet_multiply"
        return f"{kernel}(&{name}, {source}, {target}, scratch->work.numbers);"


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


def with_table(step: Dense, table: NDArray[np.uint8]) -> Dense:
    """The same followed by an activation function."""
    return replace(step, table=table if step.table is None else table[step.table])
