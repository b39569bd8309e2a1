"""Functions of one number in 8 bits: a table of 256 codes, computed once, when the file is made.

GELU, SiLU, HardSwish and others have no integer kernel in onnxruntime, and their float kernels differ from CPU to CPU.
Whatever operators compute a function between two 8-bit tensors, from one of them and from single constants, the
function's table takes their place: Gather is exact everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters import folding
from lenet_edge_exporters.folding import is_constant
from lenet_edge_runtime.sessions import open_content

if TYPE_CHECKING:
    import onnx

OF_ONE = (
    "Abs", "Celu", "Clip", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log",
    "Mish", "Neg", "PRelu", "Reciprocal", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Swish", "Tanh",
    "ThresholdedRelu",
)  # fmt: skip
OF_TWO = ("Add", "Div", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min", "Mul", "Pow", "Sub")
OF_THREE = ("Where",)  # of a comparison
MOVES = ("Flatten", "MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze")  # codes as they move numbers
SIMPLE = ("Clip", "Identity", "LeakyRelu", "Relu", "Tanh")  # alone they are exact in integers already


@dataclass(frozen=True)
class Function:
    """The nodes, in order, that compute the value `result` from `argument` and single constants."""

    argument: str
    result: str
    nodes: tuple[onnx.NodeProto, ...]


def functions_of(graph: onnx.GraphProto) -> list[Function]:
    """The functions of a float32 graph that become tables: those that other nodes read, and that are not exact anyway.

    A sigmoid alone is among them: onnxruntime's kernels for it approximate, each in its own way.
    """
    made: dict[str, Function] = {}
    for node in graph.node:
        function = _extended(graph, node, made)
        if function is not None:
            made[node.output[0]] = function
    inside = {name for function in made.values() for node in function.nodes for name in node.input}
    outside = {name for node in graph.node if node.output[0] not in made for name in node.input}
    ends = outside | {item.name for item in graph.output} | (set(made) - inside)
    return [
        function
        for function in made.values()
        if function.result in ends and not (len(function.nodes) == 1 and function.nodes[0].op_type in SIMPLE)
    ]


def put_tables(model: onnx.ModelProto, functions: list[Function]) -> None:
    """Replace the nodes between a DequantizeLinear and a QuantizeLinear of a quantized graph by a Gather, in place.

    `functions` are those of the graph before it was quantized; those that were left in float stay.
    """
    graph = model.graph
    by_name = {node.name: node for node in graph.node}
    for number, function in enumerate(functions):
        nodes = [by_name[node.name] for node in function.nodes if node.name in by_name]
        inside = {name for node in nodes for name in node.output}
        arguments = {name for node in nodes for name in node.input if name and name not in inside}
        arguments -= {name for name in arguments if is_constant(graph, name)}
        before = [node for node in graph.node if arguments.intersection(node.output)]
        same = {tuple(node.input) for node in before if node.op_type == "DequantizeLinear"}
        if len(nodes) != len(function.nodes) or len(same) != 1 or len(before) != len(arguments):
            continue
        for reader in _readers(graph, nodes[-1].output[0]):
            quantize = _quantized_at_once(graph, reader)
            if quantize is not None:
                _put_table(model, nodes, before, quantize, f"table{number}")
    drop_dead(graph)


def _extended(graph: onnx.GraphProto, node: onnx.NodeProto, made: dict[str, Function]) -> Function | None:
    """The function that a node gives, on top of those before it; None where it is none of one number."""
    if node.op_type not in (*OF_ONE, *OF_TWO, *OF_THREE) or len(node.output) != 1:
        return None
    constants = [name for name in node.input if name and is_constant(graph, name)]
    others = [name for name in node.input if name and name not in constants]
    if not others or any(folding.initializer(graph, name).size != 1 for name in constants):
        return None
    arguments = {made[name].argument if name in made else name for name in others}
    if len(arguments) != 1:
        return None
    earlier = [inner for name in others if name in made for inner in made[name].nodes]
    nodes = list({inner.output[0]: inner for inner in earlier}.values())
    return Function(arguments.pop(), node.output[0], (*nodes, node))


def _quantized_at_once(graph: onnx.GraphProto, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """The QuantizeLinear that a node is, or before which numbers are only moved: it then comes before that."""
    if node.op_type == "QuantizeLinear":
        return node
    readers = _readers(graph, node.output[0])
    if node.op_type not in MOVES or len(readers) != 1:
        return None
    quantize = _quantized_at_once(graph, readers[0])
    if quantize is not None:
        codes, moved = quantize.output[0], f"{quantize.output[0]}.{node.name}"
        quantize.input[0], quantize.output[0], node.input[0], node.output[0] = node.input[0], moved, moved, codes
        graph.node.remove(quantize)
        graph.node.insert(list(graph.node).index(node), quantize)
        quantize = next(item for item in graph.node if moved in item.output)
    return quantize


def _readers(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if name in node.input]


def _put_table(
    model: onnx.ModelProto, nodes: list[onnx.NodeProto], before: list[onnx.NodeProto], after: onnx.NodeProto, name: str
) -> None:
    from onnx import TensorProto, helper

    graph = model.graph
    table = folding.add_constant(graph, f"{name}.{after.output[0]}", table_of(model, [*before, *nodes, after]))
    index = f"{name}.{after.output[0]}.index"
    place = list(graph.node).index(after)
    graph.node.remove(after)
    graph.node.insert(place, helper.make_node("Gather", [table, index], list(after.output), nodes[-1].name, axis=0))
    graph.node.insert(place, helper.make_node("Cast", [before[0].input[0]], [index], to=TensorProto.INT32))


def table_of(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> NDArray[np.uint8]:
    """What onnxruntime makes of the 256 codes by nodes from DequantizeLinears of one tensor to a QuantizeLinear."""
    from onnx import TensorProto, helper

    codes, result = nodes[0].input[0], nodes[-1].output[0]
    read = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "function",
        [helper.make_tensor_value_info(codes, TensorProto.UINT8, [256])],
        [helper.make_tensor_value_info(result, TensorProto.UINT8, None)],
        [item for item in model.graph.initializer if item.name in read],
    )
    alone = helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    session = open_content(alone.SerializeToString(), "a function of one number")
    table: NDArray[np.uint8] = session.run(None, {codes: np.arange(256, dtype=np.uint8)})[0].reshape(256)
    return table


def drop_dead(graph: onnx.GraphProto) -> None:
    """Remove nodes whose results nobody reads, and then the constants."""
    outputs = {item.name for item in graph.output}
    while True:
        read = outputs | {name for node in graph.node for name in node.input}
        dead = [node for node in graph.node if not read.intersection(node.output)]
        if not dead:
            break
        for node in dead:
            graph.node.remove(node)
    folding.drop_unused(graph)
