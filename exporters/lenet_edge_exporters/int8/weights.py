"""The scales of int8 weights: with them no kernel of onnxruntime saturates, so that every CPU gives the same bits.

x86 without VNNI multiplies uint8 activations by int8 weights in pairs and adds each pair in 16 bits (VPMADDUBSW). Two
weights of one sign overflow there where 255 * |w + w'| > 32767, so the neighbours that are added may reach 128
together. Pairs are (2i, 2i + 1) along what is summed, in the order in which a kernel packs it.
"""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Weights:
    """The weights of a layer, [outputs, inputs] or [outputs, channels, ...], and how its node has them."""

    name: str  # of the constant
    values: NDArray[np.float32]
    axis: int  # that the outputs are on in the constant
    grouped: bool


def weights_of(model: onnx.ModelProto) -> dict[str, Weights]:
    """The weights of all layers that become int8, by the layers' nodes."""
    nodes = {node.name: node for node in model.graph.node}
    images = {gemm.name: image for _, gemm, image in flattened_images(model)}
    found = {}
    for layer in layers_of(model):
        node = nodes[layer.node]
        values = folding.initializer(model.graph, node.input[1])
        if node.op_type == "MatMul" and values.ndim != 2:
            continue  # the quantizer's unsigned weights saturate nowhere either
        axis = _channel_axis(node)
        values = np.moveaxis(values, axis, 0)
        if node.name in images:
            values = values.reshape(len(values), *images[node.name])
        found[node.name] = Weights(node.input[1], values, axis, _is_grouped(node))
    return found


def overrides(model: onnx.ModelProto, activations: Overrides) -> Overrides:
    """The quantizer's `TensorQuantOverrides` for the weights of all layers: int8, symmetric, a scale a channel.

    `activations` are those for all other tensors; between known scales a layer's weights get scales `without_ties`.
    """
    from onnxruntime.quantization import QuantType

    nodes = {node.name: node for node in model.graph.node}
    kind, zero = QuantType.QInt8, np.array(0, np.int8)
    found = {}
    for layer, item in weights_of(model).items():
        steps = scales(item.values, grouped=item.grouped)
        source, target = (find(model.graph, nodes[layer], activations) for find in (_scale_before, _scale_behind))
        if source is not None and target is not None:
            steps = without_ties(steps, source, target)
        found[item.name] = [
            {"axis": item.axis, "quant_type": kind, "scale": np.array(step), "zero_point": zero} for step in steps
        ]
    return found


def scales(weights: NDArray[np.float32], *, grouped: bool = False) -> NDArray[np.float32]:
    """The scale of each output channel of weights [outputs, inputs] or [outputs, channels, ...]."""
    orders = _orders(weights, grouped)
    largest = [np.abs(orders[0]).max(1), *map(largest_pair, orders)]
    steps = np.maximum.reduce(largest) / LARGEST
    tiny = np.finfo(np.float32).tiny
    return np.where(steps < tiny, 1, steps).astype(np.float32)


def neighbours(shape: tuple[int, ...], *, grouped: bool = False) -> NDArray[np.int64]:
    """The neighbour of each of an output's weights of this shape, in each order, [orders, weights]; -1: it has none."""
    size = int(np.prod(shape))
    found = np.full((2, size), -1)
    for beside, order in zip(found, _orders(np.arange(1, size + 1).reshape(1, *shape), grouped), strict=True):
        pairs = _in_pairs(order)[0] - 1
        for here, there in (pairs.T, pairs.T[::-1]):
            beside[here[here >= 0]] = there[here >= 0]
    return found


def _orders(weights: NDArray[Any], grouped: bool) -> list[NDArray[Any]]:
    """Each output's weights in a row, [outputs, inputs], in the two orders in which kernels pack them.

    Convolutions, and dense layers on flattened images, are packed channels last; first is allowed for as well. In a
    convolution of grey images a weight's neighbour may be the one before it or the one behind it, because
    `pixel_blocks` moves windows.
    """
    orders = [order.reshape(len(weights), -1) for order in (weights, np.moveaxis(weights, 1, -1))]
    if weights.ndim > 2 and weights.shape[1] == 1 and not grouped:
        orders[1] = np.pad(orders[0], ((0, 0), (1, 0)))
    return orders


def largest_pair(rows: NDArray[Any]) -> NDArray[Any]:
    """The largest |w + w'| of neighbours (2i, 2i + 1) of one sign in each row."""
    pairs = _in_pairs(rows)
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


def _in_pairs(rows: NDArray[Any]) -> NDArray[Any]:
    """[outputs, inputs] as [outputs, pairs, 2], with a 0 behind an odd number."""
    even = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
    return even.reshape(len(rows), -1, 2)


def _channel_axis(node: onnx.NodeProto) -> int:
    """The axis of a layer's weights that its output channels are on."""
    transposed = any(item.name == "transB" and item.i for item in node.attribute)
    return 0 if node.op_type == "Conv" or transposed else 1


def _is_grouped(node: onnx.NodeProto) -> bool:
    return any(item.name == "group" and item.i > 1 for item in node.attribute)
