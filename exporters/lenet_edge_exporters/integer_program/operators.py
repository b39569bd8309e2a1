"""The table of operators: how each ONNX operator of a quantized graph is read.

To add one: a module with a dataclass that follows `program.Step` and a function that reads the node into it; a row
here; how each exporter runs it (`c/lowering.py` with a kernel, `tflite/operators.py`); and a net that uses it in
tests/exporters/test_c_export.py, whose oracle is onnxruntime.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lenet_edge_exporters.integer_program import convolution, dense, joining, lookup, planes, pooling
from lenet_edge_exporters.integer_program.program import Codes, Node, Step, Stored, Unrounded, Value

Read = Callable[[Node], Value | tuple[Step, Value]]


def dequantize(node: Node) -> Value:
    """DequantizeLinear says how codes are to be read, and computes nothing."""
    codes, scale, *rest = node.inputs
    if isinstance(codes, Codes):
        return replace(codes, scale=np.float32(_scalar(scale)), zero_point=int(_scalar(rest[0])) if rest else 0)
    if not isinstance(codes, np.ndarray) or not isinstance(scale, np.ndarray):
        raise node.refuse("of values that are not 8-bit codes")
    node.require("axis", 0, 1)
    zero_point = rest[0] if rest else np.zeros((), codes.dtype)
    return Stored(codes, scale, np.asarray(zero_point))


def quantize(node: Node) -> Value | tuple[Step, Value]:
    """QuantizeLinear rounds what was computed to codes."""
    value, scale, zero_point = node.inputs[0], np.float32(_scalar(node.inputs[1])), int(_scalar(node.inputs[2]))
    if isinstance(value, Unrounded):
        return value.quantized(scale, zero_point), Codes(value.shape, scale, zero_point)
    if isinstance(value, Codes) and (value.scale, value.zero_point) == (scale, zero_point):
        return value
    raise node.refuse("of values that are codes of another scale")


def flatten(node: Node) -> Value:
    """Reshape and Flatten of an image to a row, which moves nothing."""
    codes = node.codes()
    if node.op_type == "Flatten":
        node.require("axis", 1)
    elif node.op_type == "Squeeze":
        if codes.shape[1:] != (1, 1):
            raise node.refuse("of anything but images of one pixel")
    elif not isinstance(node.inputs[1], np.ndarray) or list(node.inputs[1][1:]) not in (
        [int(np.prod(codes.shape))],
        [-1],
    ):
        raise node.refuse("to anything but a row for each image")
    return replace(codes, flattened=True)


def same(node: Node) -> Value:
    """What computes nothing in a finished network."""
    return node.inputs[0]


def _scalar(value: Value) -> float:
    assert isinstance(value, np.ndarray)
    return float(value.item())


OPERATORS: dict[str, Read] = {
    "DequantizeLinear": dequantize,
    "QuantizeLinear": quantize,
    "Conv": convolution.read,
    "Gemm": dense.read,
    "MaxPool": pooling.read_max,
    "AveragePool": pooling.read_average,
    "GlobalAveragePool": pooling.read_global_average,
    "Add": joining.read_add,
    "Concat": joining.read_concat,
    "Pad": planes.read_pad,
    "Gather": lookup.read_gather,
    "LeakyRelu": lookup.read_leaky_relu,
    "Sigmoid": lookup.reader(lookup.sigmoid),
    "Relu": lookup.reader(lookup.relu),
    "Reshape": flatten,
    "Flatten": flatten,
    "Squeeze": flatten,
    "Cast": same,
    "Identity": same,
}
