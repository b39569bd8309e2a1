"""From a quantized ONNX graph to steps, from pixels to logits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lenet_edge_exporters.integer_program.lookup import Decode
from lenet_edge_exporters.integer_program.operators import OPERATORS
from lenet_edge_exporters.integer_program.planes import Interleave
from lenet_edge_exporters.integer_program.pooling import numbers_of
from lenet_edge_exporters.integer_program.program import (
    PIXELS,
    Codes,
    Node,
    Operation,
    Step,
    Unrounded,
    UnsupportedError,
    Value,
)
from lenet_edge_exporters.onnx import INPUT, OUTPUT

if TYPE_CHECKING:
    import onnx


def read(model: onnx.ModelProto, exporter: str) -> list[Step]:
    """The steps from pixels to logits as a chain; the last one gives sums, which its scale makes logits of.

    Raises UnsupportedError, which names the operator and `exporter`, for what there is no step for, and for a graph
    that branches.
    """
    found = operations(model, exporter)
    for before, operation in enumerate(found):
        if operation.sources != (before,):
            kind = type(operation.step).__name__
            raise UnsupportedError(
                f"{exporter} has no graph that branches, as before its {kind}; export this net as int8 ONNX or c"
            )
    return [operation.step for operation in found]


def operations(model: onnx.ModelProto, exporter: str) -> list[Operation[Step]]:
    """The steps from pixels to logits with the values that they take and give; values are numbered from 1 in order.

    Raises UnsupportedError, which names the operator and `exporter`, for what there is no step for.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    values: dict[str, Value] = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    if graph.input[0].name != INPUT:
        raise UnsupportedError(f"{exporter} takes raw pixels; leave --input float32 out")
    shape = tuple(item.dim_value for item in graph.input[0].type.tensor_type.shape.dim[1:])
    found: list[Operation[Step]] = []
    if shape[0] > 1:
        found.append(Operation(Interleave(shape[0], shape[1] * shape[2]), (PIXELS,), 1))
    values[INPUT] = Codes(shape, np.float32(1), 0, value=len(found))
    for node in graph.node:
        if OUTPUT in node.input:
            continue  # probabilities are the caller's to compute
        attributes: dict[str, Any] = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        inputs = [values[name] for name in node.input if name]
        read_node = Node(node.op_type, node.name, inputs, attributes, exporter)
        if node.op_type not in OPERATORS:
            raise _unknown(read_node)
        result = OPERATORS[node.op_type](read_node)
        if isinstance(result, tuple):
            step, codes = result
            assert isinstance(codes, Codes)
            found.append(Operation(step, read_node.sources, len(found) + 1))
            result = replace(codes, value=len(found))
        elif isinstance(result, Unrounded):
            result = replace(result, sources=read_node.sources)
        values[node.output[0]] = result
    step, sources = _last(values[OUTPUT], exporter)
    return [*found, Operation(step, sources, len(found) + 1)]


def _last(value: Value, exporter: str) -> tuple[Step, tuple[int, ...]]:
    """The step that gives logits: of a dense layer its sums, of another layer the numbers of its codes."""
    if isinstance(value, Unrounded) and value.as_logits is not None:
        return value.as_logits(), value.sources
    if isinstance(value, Codes) and (len(value.shape) == 1 or value.shape[1:] == (1, 1)):
        return Decode(numbers_of(value), value.shape[0]), (value.value,)
    raise UnsupportedError(
        f"{exporter} needs a layer as the last step that gives a number for each class; export this net as int8 ONNX"
    )


def _unknown(node: Node) -> UnsupportedError:
    """The error for an operator that is not in the table."""
    where = f" ({node.name})" if node.name else ""
    return UnsupportedError(
        f"{node.exporter} has no operator {node.op_type}{where}; it has {', '.join(OPERATORS)}; "
        f"export this net as int8 ONNX"
    )
