"""The float32 network as TFLite operators, node by node from the graph that the ONNX export writes.

https://onnx.ai/onnx/operators and https://ai.google.dev/edge/litert; images are channels last here, first in ONNX.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.folding import attributes_of, initializer, is_constant
from lenet_edge_exporters.integer_program.program import UnsupportedError, Window
from lenet_edge_exporters.onnx import INPUT, OUTPUT
from lenet_edge_exporters.tflite.model import ModelWriter, Numbers, Shape
from lenet_edge_exporters.tflite.node import Node, Value
from lenet_edge_exporters.tflite.windows import VALID, implied_padding, pad, padded, pool_of, steps_of

if TYPE_CHECKING:
    import onnx

VERSIONS = {
    "CAST": 1, "CONV_2D": 1, "DEPTHWISE_CONV_2D": 2, "MAX_POOL_2D": 1, "AVERAGE_POOL_2D": 1, "MEAN": 1, "PAD": 1,
    "PADV2": 1, "RESHAPE": 1, "FULLY_CONNECTED": 1, "CONCATENATION": 1, "ADD": 1, "SUB": 1, "MUL": 1, "DIV": 1,
    "RELU": 1, "RELU6": 1, "LEAKY_RELU": 1, "ELU": 1, "HARD_SWISH": 1, "TANH": 1, "LOGISTIC": 1,
}  # fmt: skip
_FUSED_RELU = 1  # of the schema's ActivationFunctionType
LOWEST = float(np.finfo(np.float32).min)


def write(graph: onnx.GraphProto, writer: ModelWriter, pixels: int, shape: Shape) -> int:
    """Append the operators of a graph of `onnx.build` that takes tensor `pixels`; return the tensor of the logits.

    Raises UnsupportedError, which names the operator, for what TFLite has not.
    """
    values: dict[str, Value] = {INPUT: Value(pixels, shape)}
    for number, node in enumerate(graph.node, 1):
        if node.op_type not in OPERATORS:
            raise Node(node, [], {}, writer, "", 0).refuse()
        readers = [reader.op_type for reader in graph.node if node.output[0] in reader.input]
        inputs: list[Value | NDArray[Any]] = [
            initializer(graph, name) if is_constant(graph, name) else values[name] for name in node.input if name
        ]
        fused = _FUSED_RELU if readers == ["Relu"] else 0
        read = Node(node, inputs, attributes_of(node), writer, f"{node.op_type.lower()}{number}", fused)
        values[node.output[0]] = OPERATORS[node.op_type](read)
    logits = values[OUTPUT]
    if len(logits.shape) == 3:
        if logits.shape[:2] != (1, 1):
            raise UnsupportedError(f"the float TFLite export needs a row of logits, not {logits.shape}")
        logits = _row(writer, logits, "logits")
    writer.rename(logits.tensor, OUTPUT)
    return logits.tensor


def _cast(node: Node) -> Value:
    """Pixels as numbers; a later cast of numbers to numbers does nothing."""
    value = node.value()
    options = {"inDataType": node.writer.type_of("UINT8"), "outDataType": node.writer.type_of("FLOAT32")}
    return node.write("CAST", [value.tensor], value.shape, "CastOptions", **options)


def _convolve(node: Node) -> Value:
    image, weights = node.image(), node.constant(1)
    groups, outputs = int(node.attributes.get("group", 1)), len(weights)
    window = node.window(image, (weights.shape[2], weights.shape[3]))
    source, padding = padded(window, node.writer, image.tensor, Numbers(image.shape), node.name)
    dilations = {"dilationHFactor": window.dilations[0], "dilationWFactor": window.dilations[1]}
    options = {**steps_of(window, padding), **dilations}
    shape = (window.rows, window.columns, outputs)
    if groups == window.channels > 1:
        constants = node.weights(weights.transpose(1, 2, 3, 0), outputs)
        options["depthMultiplier"] = outputs // groups
        return node.write_fused("DEPTHWISE_CONV_2D", [source, *constants], shape, "DepthwiseConv2DOptions", **options)
    if groups != 1:
        raise node.refuse(f" with {groups} groups of {window.channels} channels")
    constants = node.weights(weights.transpose(0, 2, 3, 1), outputs)
    return node.write_fused("CONV_2D", [source, *constants], shape, "Conv2DOptions", **options)


def _multiply(node: Node) -> Value:
    for attribute, only in {"alpha": 1.0, "beta": 1.0, "transA": 0}.items():
        node.require(attribute, only)
    if not node.attributes.get("transB", 0):
        raise node.refuse(" with weights [inputs, outputs]")
    value, weights = node.value(), node.constant(1)
    if len(value.shape) == 3:
        height, width, channels = value.shape
        images = weights.reshape(len(weights), channels, height, width)
        weights = images.transpose(0, 2, 3, 1).reshape(weights.shape)
        value = _row(node.writer, value, f"{node.name}_row")
    inputs = [value.tensor, *node.weights(weights, len(weights))]
    return node.write_fused("FULLY_CONNECTED", inputs, (len(weights),), "FullyConnectedOptions")


def _row(writer: ModelWriter, value: Value, name: str) -> Value:
    """An image as a row, channels last."""
    size = int(np.prod(value.shape))
    shape = writer.constant(f"{name}_shape", np.array([-1, size], np.int32))
    options = {"newShape": [-1, size]}
    inputs = [value.tensor, shape]
    return Value(writer.operator("RESHAPE", inputs, name, Numbers((size,)), "ReshapeOptions", options), (size,))


def _pool(node: Node) -> Value:
    node.require("ceil_mode", 0)
    node.require("storage_order", 0)
    node.require("dilations", [1, 1])
    image, kernel = node.image(), node.attributes["kernel_shape"]
    window = node.window(image, (kernel[0], kernel[1]))
    greatest = node.node.op_type == "MaxPool"
    zeros_count = any(window.pads) and bool(node.attributes.get("count_include_pad", 0))
    source, padding = image.tensor, implied_padding(window)
    if padding is None or zeros_count:
        if not greatest and not zeros_count:
            raise node.refuse(f" with pads {list(window.pads)} that do not count")
        level = LOWEST if greatest else 0.0
        source = pad(window, node.writer, image.tensor, Numbers(image.shape), node.name, level)
        padding = VALID
    return node.write_fused(
        "MAX_POOL_2D" if greatest else "AVERAGE_POOL_2D",
        [source],
        (window.rows, window.columns, window.channels),
        "Pool2DOptions",
        **pool_of(window, padding),
    )


def _average_globally(node: Node) -> Value:
    image = node.image()
    axes = node.writer.constant(f"{node.name}_axes", np.array([1, 2], np.int32))
    shape = (1, 1, image.shape[2])
    return node.write("MEAN", [image.tensor, axes], shape, "ReducerOptions", keepDims=True)


def _flatten(node: Node) -> Value:
    """Moves nothing until a dense layer reads it, whose columns are moved instead."""
    value = node.value()
    size = int(np.prod(value.shape))
    target = node.inputs[1] if len(node.inputs) > 1 else np.array([0, -1])
    to_row = isinstance(target, np.ndarray) and list(target[1:]) in ([size], [-1])
    if node.node.op_type == "Squeeze":
        to_row = value.shape[:2] == (1, 1)
    if not to_row:
        raise node.refuse(" to anything but a row for each image")
    node.require("axis", 1)
    return replace(value, flattened=True)


def _pad(node: Node) -> Value:
    image, amounts = node.image(), node.constant(1).astype(int).tolist()
    node.require("mode", b"constant")
    if len(amounts) != 8 or any(amounts[axis] for axis in (0, 1, 4, 5)) or min(amounts) < 0:
        raise node.refuse(" of anything but height and width")
    if len(node.inputs) > 2 and node.constant(2).any():
        raise node.refuse(" by anything but zeros")
    height, width, channels = image.shape
    pads = (amounts[2], amounts[3], amounts[6], amounts[7])
    window = Window(channels, height, width, (1, 1), (1, 1), pads)
    tensor = pad(window, node.writer, image.tensor, Numbers(image.shape), node.name)
    return Value(tensor, (height + pads[0] + pads[2], width + pads[1] + pads[3], channels))


def _combine(kind: str, options: str) -> Callable[[Node], Value]:
    """An operator on two tensors of one shape, or on one and a constant: a number, or one for each channel."""

    def write(node: Node) -> Value:
        values = [item for item in node.inputs if isinstance(item, Value)]
        if len(values) == 2 and values[0].shape != values[1].shape:
            raise node.refuse(f" of tensors of shapes {values[0].shape} and {values[1].shape}")
        tensors = [
            item.tensor if isinstance(item, Value) else _beside(node, item, values[0], place)
            for place, item in enumerate(node.inputs)
        ]
        written = node.write_fused(kind, tensors, values[0].shape, options)
        return replace(written, flattened=values[0].flattened)

    return write


def _beside(node: Node, values: NDArray[Any], other: Value, place: int) -> int:
    """A constant that is combined with another tensor, whose channels are last."""
    by_channel = values.shape[-3:] == (other.shape[-1], 1, 1) or values.shape[-1:] == other.shape
    if values.size != 1 and (values.size != other.shape[-1] or not by_channel):
        raise node.refuse(f" of a tensor of shape {other.shape} and a constant of shape {values.shape}")
    return node.writer.constant(f"{node.name}_{place}", values.astype(np.float32).reshape(-1))


def _concatenate(node: Node) -> Value:
    values = [node.of_tensor(item) for item in node.inputs]
    node.require("axis", 1)
    if any(value.flattened for value in values) or len({value.shape[:-1] for value in values}) != 1:
        raise node.refuse(" of anything but channels of images of one size")
    shape = (*values[0].shape[:-1], sum(value.shape[-1] for value in values))
    tensors = [value.tensor for value in values]
    return node.write_fused("CONCATENATION", tensors, shape, "ConcatenationOptions", axis=len(shape))


def _elementwise(kind: str, options: str = "NONE") -> Callable[[Node], Value]:
    def write(node: Node) -> Value:
        value = node.value()
        return replace(node.write(kind, [value.tensor], value.shape, options), flattened=value.flattened)

    return write


def _rectify(node: Node) -> Value:
    """Relu, unless the layer before it has it in itself."""
    value = node.value()
    return value if value.rectified else _elementwise("RELU")(node)


def _leak(node: Node) -> Value:
    value, slope = node.value(), float(node.attributes.get("alpha", 0.01))
    written = node.write("LEAKY_RELU", [value.tensor], value.shape, "LeakyReluOptions", alpha=slope)
    return replace(written, flattened=value.flattened)


def _elu(node: Node) -> Value:
    node.require("alpha", 1.0)
    return _elementwise("ELU")(node)


def _clip(node: Node) -> Value:
    """ReLU6 alone."""
    if [float(bound.item()) for bound in node.inputs[1:] if isinstance(bound, np.ndarray)] != [0.0, 6.0]:
        raise node.refuse(" but to 0..6")
    return _elementwise("RELU6")(node)


def _same(node: Node) -> Value:
    return node.value()


OPERATORS: dict[str, Callable[[Node], Value]] = {
    "Cast": _cast,
    "Conv": _convolve,
    "Gemm": _multiply,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _average_globally,
    "Reshape": _flatten,
    "Flatten": _flatten,
    "Squeeze": _flatten,
    "Pad": _pad,
    "Add": _combine("ADD", "AddOptions"),
    "Sub": _combine("SUB", "SubOptions"),
    "Mul": _combine("MUL", "MulOptions"),
    "Div": _combine("DIV", "DivOptions"),
    "Concat": _concatenate,
    "Relu": _rectify,
    "Clip": _clip,
    "LeakyRelu": _leak,
    "Elu": _elu,
    "HardSwish": _elementwise("HARD_SWISH", "HardSwishOptions"),
    "Tanh": _elementwise("TANH"),
    "Sigmoid": _elementwise("LOGISTIC"),
    "Identity": _same,
}
