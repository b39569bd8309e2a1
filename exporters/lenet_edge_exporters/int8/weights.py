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
from lenet_edge_exporters.activations import SAME_SCALE
from lenet_edge_exporters.flattening import flattened_images
from lenet_edge_exporters.int8.ties import without_ties
from lenet_edge_exporters.layers import layers_of
from lenet_edge_exporters.onnx import OUTPUT

if TYPE_CHECKING:
    import onnx

Overrides = dict[str, list[dict[str, Any]]]  # the quantizer's `TensorQuantOverrides`
LARGEST = 127  # of a weight, and of a pair before rounding, which adds at most a half to each


def overrides(model: onnx.ModelProto, activations: Overrides) -> Overrides:
    """The quantizer's `TensorQuantOverrides` for the weights of all layers: int8, symmetric, a scale a channel.

    `activations` are those for all other tensors; between known scales a layer's weights get scales `without_ties`.
    """
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
        source, target = _scale_before(model.graph, node, activations), _scale_behind(model.graph, node, activations)
        if source is not None and target is not None:
            steps = without_ties(steps, source, target)
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


def _scale_before(graph: onnx.GraphProto, layer: onnx.NodeProto, activations: Overrides) -> np.float32 | None:
    """The scale of the codes that a layer reads; None where it is not known."""
    producers = {name: node for node in graph.node for name in node.output}
    name = layer.input[0]
    while name in producers and producers[name].op_type in SAME_SCALE:
        name = producers[name].input[0]
    return _scale(activations.get(name))


def _scale_behind(graph: onnx.GraphProto, layer: onnx.NodeProto, activations: Overrides) -> np.float32 | None:
    """The scale of the codes that are made of a layer's sums, behind its Relu; None for logits, which stay sums."""
    readers = [node for node in graph.node if layer.output[0] in node.input]
    name = readers[0].output[0] if [node.op_type for node in readers] == ["Relu"] else layer.output[0]
    return None if name == OUTPUT else _scale(activations.get(name))


def _scale(override: list[dict[str, Any]] | None) -> np.float32 | None:
    """As the quantizer computes it of a range."""
    from onnxruntime.quantization.quant_utils import compute_scale_zp

    if override is None:
        return None
    given = override[0]
    if "scale" in given:
        return np.float32(given["scale"])
    return np.float32(compute_scale_zp(given["rmin"], given["rmax"], np.array(0, np.uint8), np.array(255, np.uint8))[1])


def _channel_axis(node: onnx.NodeProto) -> int:
    """The axis of a layer's weights that its output channels are on."""
    transposed = any(item.name == "transB" and item.i for item in node.attribute)
    return 0 if node.op_type == "Conv" or transposed else 1


def _is_grouped(node: onnx.NodeProto) -> bool:
    return any(item.name == "group" and item.i > 1 for item in node.attribute)
