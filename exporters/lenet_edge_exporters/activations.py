"""tanh in integer arithmetic, by way of the sigmoid, for which onnxruntime has an integer kernel.

tanh(x) = 2 sigmoid(2x) - 1. In 8 bits nothing has to be computed for the three constants: at scale 1/127 and zero
point 127, the code of tanh(x) is 127 tanh(x) + 127 = 254 sigmoid(2x), which is the code of the sigmoid at scale 1/254
and zero point 0. So the same bytes are read with twice their scale before Sigmoid, and Sigmoid's bytes as tanh's after
it. No weight changes, and it stays exact before a padded convolution too, where folding 2s - 1 into weights is not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters import folding
from lenet_edge_exporters.export_job import Images
from lenet_edge_exporters.onnx import OUTPUT
from lenet_edge_runtime.errors import GateError
from lenet_edge_runtime.sessions import open_content

if TYPE_CHECKING:
    import onnx

# One step of x. Beyond 127 of the largest, tanh(x) rounds to 1 anyway, so a wider range would only coarsen the rest.
# Among the scales of that size these keep all 256 results furthest from a tie (0.008 of a step; float32 errs by
# 0.00003), so that every sigmoid kernel, on every CPU, rounds them to the same codes.
INPUT_SCALES = tuple(np.float32(0.02546 / 2**k) for k in range(5))
INPUT_ZERO_POINT = np.uint8(128)
TANH_SCALE, TANH_ZERO_POINT = np.float32(1 / 127), np.uint8(127)
SIGMOID_SCALE, SIGMOID_ZERO_POINT = np.float32(1 / 254), np.uint8(0)
MAX_DIFFERENCE = 1e-4  # of any logit, as a share of the largest


SOURCES = ("Conv", "Gemm", "MatMul", "Add")  # not Relu: the quantizer drops it for a zero point of 0
SAME_SCALE = ("MaxPool", "AveragePool", "Reshape", "Flatten")  # the quantizer gives their output the input's scale


def quantized_operators() -> list[str]:
    """The operators whose tensors are to be quantized: all that the quantizer knows, and Tanh, which it does not."""
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    return sorted({*QLinearOpsRegistry, *QDQRegistry, "Tanh"})


def overrides(
    model: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]], in_tables: Collection[str] = ()
) -> dict[str, list[dict[str, Any]]]:
    """The quantizer's `TensorQuantOverrides` that give every Tanh of a float32 graph the scales it needs here.

    `ranges`, least and greatest value by tensor, tell how small the scale of its input may be; nodes named by
    `in_tables` become part of a table (`elementwise`) and need none.
    """
    tanhs = [
        node
        for node in model.graph.node
        if node.op_type == "Tanh" and node.output[0] != OUTPUT and node.name not in in_tables
    ]
    sources = {node.output[0]: source for node in tanhs if (source := _source(model.graph, node)) is not None}
    inputs = {
        name: _parameters(_input_scale(max(map(abs, ranges[name]))), INPUT_ZERO_POINT) for name in sources.values()
    }
    return {**inputs, **{name: _parameters(TANH_SCALE, TANH_ZERO_POINT) for name in sources}}


def replace_tanh(model: onnx.ModelProto, images: Images) -> list[str]:
    """Put Sigmoid in the place of Tanh in a QDQ graph, in place; return the names of the nodes that were replaced.

    A Tanh whose scales are not those of `overrides` stays. The logits of `images`, as the graph takes them, are
    compared with those of the graph as it was; raises GateError where they differ.
    """
    before = model.SerializeToString()
    nodes = [node for node in model.graph.node if node.op_type == "Tanh" and _has_scales(model.graph, node)]
    for node in nodes:
        _replace(model.graph, node)
    if nodes:
        folding.drop_unused(model.graph)
        _check_same(*(_run(content, [OUTPUT], images)[0] for content in (before, model.SerializeToString())))
    return [node.name for node in nodes]


def _source(graph: onnx.GraphProto, tanh: onnx.NodeProto) -> str | None:
    """The tensor that decides the scale of Tanh's input; None where others read it too and would lose its range."""
    producers = {name: node for node in graph.node for name in node.output}
    name = tanh.input[0]
    while len(_readers(graph, name)) == 1 and name in producers:
        if producers[name].op_type in SOURCES:
            return str(name)
        if producers[name].op_type not in SAME_SCALE:
            return None
        name = producers[name].input[0]
    return None


def _has_scales(graph: onnx.GraphProto, tanh: onnx.NodeProto) -> bool:
    """Whether this Tanh stands between a DequantizeLinear and a QuantizeLinear of its own with the right scales."""
    before = next((node for node in graph.node if tanh.input[0] in node.output), None)
    after = _readers(graph, tanh.output[0])
    if before is None or before.op_type != "DequantizeLinear" or len(_readers(graph, tanh.input[0])) != 1:
        return False
    if [node.op_type for node in after] != ["QuantizeLinear"]:
        return False
    scale, *others = (float(folding.constant(graph, name)) for name in (*before.input[1:], *after[0].input[1:]))
    return scale in INPUT_SCALES and others == [
        float(value) for value in (INPUT_ZERO_POINT, TANH_SCALE, TANH_ZERO_POINT)
    ]


def _replace(graph: onnx.GraphProto, tanh: onnx.NodeProto) -> None:
    before = next(node for node in graph.node if tanh.input[0] in node.output)
    (after,) = _readers(graph, tanh.output[0])
    scale = folding.constant(graph, before.input[1])
    before.input[1] = _add_constant(graph, before.input[1] + "_twice", np.float32(2 * scale))
    after.input[1] = _add_constant(graph, after.input[1] + "_sigmoid", SIGMOID_SCALE)
    after.input[2] = _add_constant(graph, after.input[2] + "_sigmoid", SIGMOID_ZERO_POINT)
    tanh.op_type = "Sigmoid"


def _add_constant(graph: onnx.GraphProto, name: str, value: np.float32 | np.uint8) -> str:
    from onnx import numpy_helper

    if not any(item.name == name for item in graph.initializer):
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def _input_scale(largest: float) -> np.float32:
    """The smallest scale whose range holds this absolute value, or the largest scale, which clips at no loss."""
    return min((scale for scale in INPUT_SCALES if 127 * scale >= largest), default=INPUT_SCALES[0])


def _check_same(expected: NDArray[np.float32], found: NDArray[np.float32]) -> None:
    difference, allowed = np.abs(found - expected).max(), MAX_DIFFERENCE * np.abs(expected).max()
    if not difference <= allowed:  # a NaN fails too
        raise GateError(
            f"with Sigmoid in the place of Tanh the logits of {len(expected)} calibration images differ by "
            f"{difference:.2g} (at most {allowed:.2g}); export this net as onnx, and report it with the net's layers"
        )


def _run(content: bytes, names: list[str], images: Images) -> list[NDArray[np.float32]]:
    session = open_content(content, "the quantized graph")
    values: list[NDArray[np.float32]] = session.run(names, {session.get_inputs()[0].name: images})
    return values


def _readers(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if name in node.input]


def _parameters(scale: np.float32, zero_point: np.uint8) -> list[dict[str, Any]]:
    return [{"scale": np.asarray(scale), "zero_point": np.asarray(zero_point)}]
