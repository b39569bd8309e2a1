"""A float32 graph in the operators that int8, C and WebAssembly know, without a change of what it computes.

torch's exporter writes one thing in several ways, and leaves alone what it cannot fold: the mean over an image as
ReduceMean, a dense layer as MatMul and Add, BatchNormalization and constants for each channel that stand before a
convolution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lenet_edge_exporters import folding
from lenet_edge_exporters.folding import add_constant, attributes_of, constant, is_constant, set_attribute

if TYPE_CHECKING:
    import onnx

Shapes = dict[str, list[int]]  # of a value, 0 for an axis of any length


def canonicalise(model: onnx.ModelProto) -> None:
    """Rewrite a graph of opset 18 or later in place; layers keep their names."""
    graph = model.graph
    shapes = shapes_of(model)
    for node in list(graph.node):
        if node.op_type == "ReduceMean":
            _average_globally(graph, node, shapes)
        elif node.op_type == "MatMul":
            _as_gemm(graph, node, shapes)
        elif node.op_type == "Gemm":
            _transposed(graph, node)
        elif node.op_type == "Pad":
            _pad_in_convolution(graph, node)
        elif node.op_type == "Reshape" and is_constant(graph, node.input[1]) and constant(graph, node.input[1]).all():
            set_attribute(node, "allowzero", None)  # without a 0 in the shape it says nothing; converters refuse it
    _last_convolution_as_dense(graph, shapes)
    folding.drop_unused(graph)


def affine_as_convolution(model: onnx.ModelProto) -> None:
    """Make a depthwise convolution of 1 x 1 of the steps that scale and shift channels, where no layer took them."""
    graph = model.graph
    shapes = shapes_of(model)
    at_pixels = {graph.input[0].name, *(node.output[0] for node in _before_layers(graph))}
    for node in list(graph.node):
        name = next((name for name in node.input if not is_constant(graph, name)), "")
        shape = shapes.get(name, [])
        if node.name == folding.SHIFT or len(shape) != 4 or not shape[1] or not _is_there(graph, node):
            continue
        steps, affine = folding.affine_from(graph, name, shape[1])
        if steps and (name in at_pixels or any(_varies(graph, step) for step in steps)):
            _depthwise(graph, steps, name, affine)
    for node in [node for node in graph.node if node.op_type == "Pad"]:
        _pad_in_convolution(graph, node)
    folding.drop_unused(graph)


def shapes_of(model: onnx.ModelProto) -> Shapes:
    """The shapes of all values, as onnx infers them."""
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(model).graph
    found = {
        item.name: [dimension.dim_value for dimension in item.type.tensor_type.shape.dim]
        for item in [*graph.value_info, *graph.input, *graph.output]
    }
    return found | {item.name: list(item.dims) for item in graph.initializer}


def _average_globally(graph: onnx.GraphProto, node: onnx.NodeProto, shapes: Shapes) -> None:
    """ReduceMean over height and width as GlobalAveragePool, with a Flatten behind it where the axes go."""
    from onnx import helper

    axes = sorted(int(axis) % 4 for axis in constant(graph, node.input[1])) if len(node.input) > 1 else []
    if len(shapes.get(node.input[0], [])) != 4 or axes != [2, 3]:
        return
    keeps = attributes_of(node).get("keepdims", 1)
    result = node.output[0] if keeps else node.output[0] + ".pooled"
    made = [helper.make_node("GlobalAveragePool", [node.input[0]], [result], node.name)]
    if not keeps:
        made.append(helper.make_node("Flatten", [result], [node.output[0]], node.name + ".row", axis=1))
    _put(graph, node, made)


def _as_gemm(graph: onnx.GraphProto, node: onnx.NodeProto, shapes: Shapes) -> None:
    """MatMul of rows and constant weights, and the bias that is added to it, as Gemm."""
    if len(shapes.get(node.input[0], [])) != 2 or not is_constant(graph, node.input[1]):
        return
    weight = add_constant(graph, node.input[1] + ".T", np.ascontiguousarray(_stored(graph, node.input[1]).T))
    inputs, result = [node.input[0], weight], node.output[0]
    readers = [reader for reader in graph.node if result in reader.input]
    if len(readers) == 1 and readers[0].op_type == "Add":
        bias = next((name for name in readers[0].input if is_constant(graph, name)), "")
        if bias and shapes[bias] == [shapes[weight][0] if weight in shapes else len(_stored(graph, weight))]:
            inputs.append(bias)
            result = readers[0].output[0]
            graph.node.remove(readers[0])
    node.op_type = "Gemm"
    node.input[:] = inputs
    node.output[:] = [result]
    set_attribute(node, "transB", 1)


def _transposed(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """The weights of a Gemm as [outputs, inputs]."""
    if attributes_of(node).get("transB", 0) or not is_constant(graph, node.input[1]):
        return
    node.input[1] = add_constant(graph, node.input[1] + ".T", np.ascontiguousarray(_stored(graph, node.input[1]).T))
    set_attribute(node, "transB", 1)


def _pad_in_convolution(graph: onnx.GraphProto, pad: onnx.NodeProto) -> None:
    """A Pad by zeros as the padding of the convolution that alone reads it."""
    amounts = folding.spatial_pads(graph, pad)
    readers = [node for node in graph.node if pad.output[0] in node.input]
    if amounts is None or len(readers) != 1 or readers[0].op_type != "Conv":
        return
    own = folding.own_pads(readers[0])
    if own is None:
        return
    set_attribute(readers[0], "pads", [a + b for a, b in zip(amounts, own, strict=True)])
    set_attribute(readers[0], "auto_pad", None)
    readers[0].input[0] = pad.input[0]
    graph.node.remove(pad)


def _last_convolution_as_dense(graph: onnx.GraphProto, shapes: Shapes) -> None:
    """A last convolution with one window, followed by nothing but a change of shape, as a dense layer.

    Its sums are then the logits; as a convolution's they would be rounded to codes.
    """
    from onnx import helper

    producers = {name: node for node in graph.node for name in node.output}
    flat = producers.get(graph.output[0].name)
    conv = producers.get(flat.input[0]) if flat is not None and flat.op_type in (*folding.LAYOUT, "Squeeze") else None
    if flat is None or conv is None or conv.op_type != "Conv":
        return
    shape, attributes = shapes.get(conv.input[0], []), attributes_of(conv)
    weights = _stored(graph, conv.input[1]) if is_constant(graph, conv.input[1]) else np.zeros(0)
    readers = sum(conv.output[0] in node.input for node in graph.node)
    if readers != 1 or attributes.get("group", 1) != 1 or folding.own_pads(conv) != [0, 0, 0, 0]:
        return
    if list(weights.shape[1:]) != shape[1:]:
        return
    row, rows = conv.output[0] + ".row", weights.reshape(len(weights), -1)
    conv.input[1] = add_constant(graph, conv.input[1] + ".rows", np.ascontiguousarray(rows))
    dense = helper.make_node("Gemm", [row, *conv.input[1:]], [flat.output[0]], conv.name, transB=1)
    _put(graph, conv, [helper.make_node("Flatten", [conv.input[0]], [row], conv.name + ".row", axis=1), dense])
    graph.node.remove(flat)


def _before_layers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The Cast of the pixels and the Pad behind it, where there are any."""
    chain = folding.chain_from(graph, graph.input[0].name)[:2]
    return [node for node in chain if node.op_type in ("Cast", "Pad")]


def _varies(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    """Whether a node has constants that are not the same for all channels."""
    return any(is_constant(graph, name) and constant(graph, name).size > 1 for name in node.input)


def _is_there(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    return any(node.output[0] == other.output[0] and node.op_type == other.op_type for other in graph.node)


def _depthwise(graph: onnx.GraphProto, steps: list[onnx.NodeProto], name: str, affine: folding.Affine) -> None:
    from onnx import helper

    result = steps[-1].output[0]
    weight = add_constant(graph, f"{result}.weight", affine.scale.astype(np.float32).reshape(-1, 1, 1, 1))
    bias = add_constant(graph, f"{result}.bias", affine.shift.astype(np.float32))
    made = helper.make_node(
        "Conv", [name, weight, bias], [result], steps[-1].name, group=len(affine.scale), kernel_shape=[1, 1]
    )
    for step in steps[:-1]:
        graph.node.remove(step)
    _put(graph, steps[-1], [made])


def _put(graph: onnx.GraphProto, old: onnx.NodeProto, new: list[onnx.NodeProto]) -> None:
    """Put nodes in the place of another."""
    place = list(graph.node).index(old)
    graph.node.remove(old)
    for node in reversed(new):
        graph.node.insert(place, node)


def _stored(graph: onnx.GraphProto, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return folding.initializer(graph, name)
