"""From a quantized ONNX graph to a chain of steps, from pixels to the sums of the last layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lenet_edge_exporters.integer_program.operators import OPERATORS
from lenet_edge_exporters.integer_program.planes import Interleave
from lenet_edge_exporters.integer_program.program import Codes, Node, Step, Unrounded, UnsupportedError, Value
from lenet_edge_exporters.onnx import INPUT, OUTPUT

if TYPE_CHECKING:
    import onnx


def read(model: onnx.ModelProto, exporter: str) -> list[Step]:
    """The steps from pixels to logits; the last one gives sums, which its scale makes logits of.

    Raises UnsupportedError, which names the operator and `exporter`, for what there is no step for.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    values: dict[str, Value] = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    if graph.input[0].name != INPUT:
        raise UnsupportedError(f"{exporter} takes raw pixels; leave --input float32 out")
    shape = tuple(item.dim_value for item in graph.input[0].type.tensor_type.shape.dim[1:])
    values[INPUT] = Codes(shape, np.float32(1), 0)
    steps: list[Step] = [Interleave(shape[0], shape[1] * shape[2])] if shape[0] > 1 else []
    for node in graph.node:
        if OUTPUT in node.input:
            continue  # probabilities are the caller's to compute
        attributes: dict[str, Any] = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        read_node = Node(node.op_type, node.name, [values[name] for name in node.input], attributes, exporter)
        if node.op_type not in OPERATORS:
            raise _unknown(read_node, normalises=node.op_type == "Mul" and not any(step.macs for step in steps))
        result = OPERATORS[node.op_type](read_node)
        if isinstance(result, tuple):
            step, result = result
            steps.append(step)
        values[node.output[0]] = result
    _check_chain(graph, exporter)
    last = values[OUTPUT]
    if not isinstance(last, Unrounded) or last.as_logits is None:
        raise UnsupportedError(f"{exporter} needs a dense layer as the last one; export this net as int8 ONNX")
    return [*steps, last.as_logits()]


def _unknown(node: Node, normalises: bool) -> UnsupportedError:
    """The error for an operator that is not in the table. `normalises`: it is what could not be folded away."""
    where = f" ({node.name})" if node.name else ""
    hint = (
        ", by which pixels are normalised: that folds only into a first convolution without padding of its own "
        "(ModelSpec.padding pads the image)"
    )
    return UnsupportedError(
        f"{node.exporter} has no operator {node.op_type}{where}{hint if normalises else ''}; "
        f"it has {', '.join(OPERATORS)}; export this net as int8 ONNX"
    )


def _check_chain(graph: onnx.GraphProto, exporter: str) -> None:
    """Refuse a graph in which codes are computed with twice: the steps hand their results on, and keep none."""
    readers: dict[str, str] = {}
    for node in graph.node:
        name = node.input[0] if node.input else ""
        if name in readers and OUTPUT not in node.input and name not in {item.name for item in graph.initializer}:
            raise UnsupportedError(
                f"{exporter} has no graph that branches: {readers[name]} and {node.op_type} read the same values; "
                f"export this net as int8 ONNX"
            )
        readers[name] = node.op_type
