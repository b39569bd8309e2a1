"""The scales of int8 weights: with them no kernel of onnxruntime saturates, so that every CPU gives the same bits.

x86 without VNNI multiplies uint8 activations by int8 weights in pairs and adds each pair in 16 bits (VPMADDUBSW). Two
weights of one sign overflow there where 255 * |w + w'| > 32767, so the neighbours that are added may reach 128
together. Pairs are (2i, 2i + 1) along what is summed, in the order in which a kernel packs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters import folding
from lenet_edge_exporters.flattening import flattened_images
from lenet_edge_exporters.layers import layers_of

if TYPE_CHECKING:
    import onnx

LARGEST = 127  # of a weight, and of a pair before rounding, which adds at most a half to each


def overrides(model: onnx.ModelProto) -> dict[str, list[dict[str, Any]]]:
    """The quantizer's `TensorQuantOverrides` for the weights of all layers: int8, symmetric, a scale a channel."""
    from onnxruntime.quantization import QuantType

    nodes = {node.name: node for node in model.graph.node}
    images = {gemm.name: image for _, gemm, image in flattened_images(model)}
    found = {}
    for layer in layers_of(model):
        node = nodes[layer.node]
        weights = folding.initializer(model.graph, node.input[1])
        if node.op_type == "MatMul" and weights.ndim != 2:
            continue  # the quantizer's unsigned weights saturate nowhere either
        axis = _channel_axis(node)
        weights = np.moveaxis(weights, axis, 0)
        if node.name in images:
            weights = weights.reshape(len(weights), *images[node.name])
        steps = scales(weights, grouped=_is_grouped(node))
        zero = np.array(0, np.int8)
        found[node.input[1]] = [
            {"axis": axis, "quant_type": QuantType.QInt8, "scale": np.array(step), "zero_point": zero} for step in steps
        ]
    return found


def scales(weights: NDArray[np.float32], *, grouped: bool = False) -> NDArray[np.float32]:
    """The scale of each output channel of weights [outputs, inputs] or [outputs, channels, ...].

    Convolutions, and dense layers on flattened images, are packed channels last; first is allowed for as well. In a
    convolution of grey images a weight's neighbour may be the one before it or the one behind it, because
    `pixel_blocks` moves windows.
    """
    orders = [order.reshape(len(weights), -1) for order in (weights, np.moveaxis(weights, 1, -1))]
    if weights.ndim > 2 and weights.shape[1] == 1 and not grouped:
        orders[1] = np.pad(orders[0], ((0, 0), (1, 0)))
    largest = [np.abs(orders[0]).max(1), *map(largest_pair, orders)]
    steps = np.maximum.reduce(largest) / LARGEST
    tiny = np.finfo(np.float32).tiny
    return np.where(steps < tiny, 1, steps).astype(np.float32)


def largest_pair(rows: NDArray[Any]) -> NDArray[Any]:
    """The largest |w + w'| of neighbours (2i, 2i + 1) of one sign in each row."""
    even = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
    pairs = even.reshape(len(rows), -1, 2)
    largest: NDArray[Any] = np.maximum(pairs.clip(min=0).sum(2).max(1), -pairs.clip(max=0).sum(2).min(1))
    return largest


def _channel_axis(node: onnx.NodeProto) -> int:
    """The axis of a layer's weights that its output channels are on."""
    transposed = any(item.name == "transB" and item.i for item in node.attribute)
    return 0 if node.op_type == "Conv" or transposed else 1


def _is_grouped(node: onnx.NodeProto) -> bool:
    return any(item.name == "group" and item.i > 1 for item in node.attribute)
