"""The weights of a quantized graph rounded anew, layer by layer, for the inputs that each layer really gets.

Those are the codes that the quantized layers before it make of the calibration images; `rounding` says what is done
with them. The bias makes up for what these inputs lack in the mean, too (Nagel et al. 2019, "Data-Free Quantization
Through Weight Equalization and Bias Correction").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters import folding
from lenet_edge_exporters.export_job import Images
from lenet_edge_exporters.int8.rounding import Numbers, rounded
from lenet_edge_exporters.int8.weights import Weights, neighbours, weights_of
from lenet_edge_exporters.int8.windows import products_of, windows_of
from lenet_edge_runtime.sessions import open_content

if TYPE_CHECKING:
    import onnx

PLAIN = {"alpha": 1.0, "beta": 1.0, "transA": 0}  # a Gemm that scales nothing


def compensate(quantized: onnx.ModelProto, prepared: onnx.ModelProto, images: Images) -> None:
    """Round the weights and biases of the QDQ graph of a `prepared` one anew, in place, the first layer first.

    `images` as the graph takes them. Scales stay as they are; so do layers that share their weights or scale sums.
    """
    graph = quantized.graph
    producers = {name: node for node in graph.node for name in node.output}
    layers = {node.name: node for node in prepared.graph.node}
    weights = {name: item for name, item in weights_of(prepared).items() if _has_its_own(prepared.graph, layers[name])}
    names = sorted({layers[name].input[0] for name in weights})
    means = dict(zip(names, (values.mean(0) for values in _values(prepared, names, images)), strict=True))
    for node in [node for node in graph.node if node.name in weights]:
        source, coded, *biases = (producers.get(name) for name in node.input)
        if source is None or coded is None or coded.op_type != "DequantizeLinear":
            continue  # left in float
        layer, item = layers[node.name], weights[node.name]
        scale, zero = (folding.constant(graph, name) for name in source.input[1:])
        codes = _values(quantized, source.input[:1], images)[0] - zero.astype(np.int16)
        lack = means[layer.input[0]] / scale - codes.mean(0)
        steps = folding.constant(graph, coded.input[1])
        rows, gain = _rounded(layer, item, steps, codes, lack)
        _store(graph, coded.input[0], np.moveaxis(rows, 0, item.axis))
        if biases and biases[0] is not None:
            bias = folding.constant(prepared.graph, layer.input[2]) / scale
            _store(graph, biases[0].input[0], np.rint((bias + gain) / steps))


def _rounded(
    layer: onnx.NodeProto, weights: Weights, steps: Numbers, codes: NDArray[Any], lack: Numbers
) -> tuple[Numbers, Numbers]:
    """The codes of a layer's weights, [outputs, ...], and what its biases gain in units of the inputs' codes.

    `codes` [n, ...] are its inputs, and `lack` [...] is what they should have more in the mean.
    """
    is_conv = layer.op_type == "Conv"
    shape = weights.values.shape[1:] if is_conv else (weights.values[0].size,)
    groups = folding.attributes_of(layer).get("group", 1) if is_conv else 1
    beside = neighbours(weights.values.shape[1:], grouped=weights.grouped)
    rows, lacks = (windows_of(layer, values, shape[1:]) for values in (codes, lack[None]))
    axis = rows.ndim - len(shape)
    parts = zip(
        *(np.split(values, groups) for values in (weights.values.reshape(len(steps), -1), steps)),
        *(np.split(values, groups, axis) for values in (rows, lacks)),
        strict=True,
    )
    codes_of, gains = [], []
    for own, scales, inputs, missing in parts:
        products = products_of(inputs, shape)
        if len(layer.input) == 2:
            products[-1, :-1] = products[:-1, -1] = 0  # no bias makes up for anything
        made = rounded(own.astype(np.float64), scales, products, beside)
        codes_of.append(made.codes)
        gains.append(made.gain + own @ missing.mean(tuple(range(axis))).reshape(-1))
    return np.concatenate(codes_of).reshape(len(steps), *shape), np.concatenate(gains)


def _has_its_own(graph: onnx.GraphProto, layer: onnx.NodeProto) -> bool:
    """Whether no other node reads its weights and bias, and what they give is not scaled."""
    readers = [sum(name in node.input for node in graph.node) for name in layer.input[1:]]
    attributes = folding.attributes_of(layer)
    scaled = layer.op_type == "Gemm" and any(attributes.get(name, value) != value for name, value in PLAIN.items())
    return max(readers) == 1 and not scaled


def _values(model: onnx.ModelProto, names: Sequence[str], images: Images) -> list[NDArray[Any]]:
    """These values of a graph for the images; onnxruntime leaves out the nodes that they do not need."""
    import onnx

    part = onnx.ModelProto()
    part.CopyFrom(model)
    own = model.graph.input[0].name
    wanted = [name for name in names if name != own]
    del part.graph.output[:]
    part.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in wanted)
    found = {own: images}
    if wanted:
        session = open_content(part.SerializeToString(), "a part of the graph")
        found |= zip(wanted, session.run(wanted, {own: images.astype(np.float32)}), strict=True)
    return [found[name] for name in names]


def _store(graph: onnx.GraphProto, name: str, values: Numbers) -> None:
    """Put values in the place of a constant's, in its own type."""
    from onnx import numpy_helper

    item = next(item for item in graph.initializer if item.name == name)
    kind = numpy_helper.to_array(item).dtype
    item.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values.astype(kind)), name))
