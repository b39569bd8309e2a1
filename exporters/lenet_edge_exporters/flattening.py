"""Images flattened channels last in front of an int8 dense layer, as onnxruntime has them in memory: one node less.

ONNX flattens channels first. A Transpose to channels last in front meets the one by which onnxruntime leaves its own
layout, and both go; the columns of the dense layer's weights move along, so that every sum keeps its bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lenet_edge_exporters import folding
from lenet_edge_exporters.canonical import shapes_of

if TYPE_CHECKING:
    import onnx

Image = tuple[int, int, int]  # channels, height, width


def flatten_channels_last(model: onnx.ModelProto) -> bool:
    """Rewrite codes of an image -> flattened -> dense layer of a quantized graph in place; return whether there is one.

    Weights whose neighbours cannot saturate are such in either order (`int8.weights`).
    """
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    applied = False
    for flatten, gemm, image in flattened_images(model):
        source, weight = producers[flatten.input[0]], producers.get(gemm.input[1])
        if source.op_type == "DequantizeLinear" and weight is not None and weight.op_type == "DequantizeLinear":
            _put_channels_last(graph, flatten, weight, image)
            applied = True
    folding.drop_unused(graph)
    return applied


def flattened_images(model: onnx.ModelProto) -> list[tuple[onnx.NodeProto, onnx.NodeProto, Image]]:
    """The nodes that flatten images of several channels and pixels, with the dense layers that alone read the rows."""
    shapes = shapes_of(model)
    found = []
    for node in [node for node in model.graph.node if node.op_type in folding.LAYOUT]:
        image, gemm = tuple(shapes.get(node.input[0], [])[1:]), _dense_behind(model.graph, node)
        if gemm is not None and is_flattened_image(image):
            found.append((node, gemm, (image[0], image[1], image[2])))
    return found


def is_flattened_image(shape: tuple[int, ...]) -> bool:
    """Whether what is flattened has several channels and several pixels, so that their order matters."""
    return len(shape) == 3 and shape[0] > 1 and shape[1] * shape[2] > 1


def _dense_behind(graph: onnx.GraphProto, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """The dense layer behind a node, or behind the pair that quantizes its result."""
    behind = folding.chain_from(graph, node.output[0])
    layers = [item for item in behind[:3] if item.op_type not in ("QuantizeLinear", "DequantizeLinear")]
    transposed = layers and folding.attributes_of(layers[0]).get("transB", 0)
    return layers[0] if transposed and layers[0].op_type == "Gemm" else None


def _put_channels_last(graph: onnx.GraphProto, flatten: onnx.NodeProto, weight: onnx.NodeProto, image: Image) -> None:
    from onnx import helper

    name = f"{flatten.output[0]}.channels_last"
    node = helper.make_node("Transpose", [flatten.input[0]], [name], name, perm=[0, 2, 3, 1])
    graph.node.insert(list(graph.node).index(flatten), node)
    flatten.input[0] = name
    columns = folding.initializer(graph, weight.input[0])
    moved = columns.reshape(len(columns), *image).transpose(0, 2, 3, 1).reshape(columns.shape)
    weight.input[0] = folding.add_constant(graph, f"{weight.input[0]}.channels_last", np.ascontiguousarray(moved))
