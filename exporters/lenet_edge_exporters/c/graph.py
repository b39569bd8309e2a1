"""From a quantized ONNX graph to a chain of steps, with neighbours fused where one kernel does both."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lenet_edge_exporters.c import convolution, dense
from lenet_edge_exporters.c.convolution import Average, Convolution
from lenet_edge_exporters.c.dense import Dense
from lenet_edge_exporters.c.lookup import Lookup
from lenet_edge_exporters.c.operators import OPERATORS
from lenet_edge_exporters.c.planes import Interleave
from lenet_edge_exporters.c.pooling import AveragePool, MaxPool
from lenet_edge_exporters.c.program import Codes, Node, Step, Unrounded, UnsupportedError, Value
from lenet_edge_exporters.onnx import INPUT, OUTPUT

if TYPE_CHECKING:
    import onnx


def read(model: onnx.ModelProto) -> list[Step]:
    """The steps from pixels to logits; raises UnsupportedError, which names the operator, for what C has not."""
    from onnx import helper, numpy_helper

    graph = model.graph
    values: dict[str, Value] = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    if graph.input[0].name != INPUT:
        raise UnsupportedError("the C export takes raw pixels; leave --input float32 out")
    shape = tuple(item.dim_value for item in graph.input[0].type.tensor_type.shape.dim[1:])
    values[INPUT] = Codes(shape, np.float32(1), 0)
    steps: list[Step] = [Interleave(shape[0], shape[1] * shape[2])] if shape[0] > 1 else []
    for node in graph.node:
        if OUTPUT in node.input:
            continue  # probabilities are the caller's to compute
        attributes: dict[str, Any] = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        read_node = Node(node.op_type, node.name, [values[name] for name in node.input], attributes)
        if node.op_type not in OPERATORS:
            raise _unknown(read_node, normalises=node.op_type == "Mul" and not any(step.macs for step in steps))
        result = OPERATORS[node.op_type](read_node)
        if isinstance(result, tuple):
            step, result = result
            steps.append(step)
        values[node.output[0]] = result
    _check_chain(graph)
    last = values[OUTPUT]
    if not isinstance(last, Unrounded) or last.as_logits is None:
        raise UnsupportedError("the C export needs a dense layer as the last one; export this net as int8 ONNX")
    return fuse([*steps, last.as_logits()])


def _unknown(node: Node, normalises: bool) -> UnsupportedError:
    """The error for an operator that is not in the table. `normalises`: it is what could not be folded away."""
    where = f" ({node.name})" if node.name else ""
    hint = (
        ", by which pixels are normalised: that folds only into a first convolution without padding of its own "
        "(ModelSpec.padding pads the image)"
    )
    return UnsupportedError(
        f"the C export has no operator {node.op_type}{where}{hint if normalises else ''}; "
        f"it has {', '.join(OPERATORS)}; export this net as int8 ONNX"
    )


def fuse(steps: list[Step]) -> list[Step]:
    """Steps with tables and 2 x 2 pooling inside the layer before them."""
    fused: list[Step] = []
    for step in steps:
        together = _together(fused[-1], step) if fused else None
        if together is None:
            fused.append(step)
        else:
            fused[-1] = together
    return fused


def _together(first: Step, second: Step) -> Step | None:
    """One step that does both, or None."""
    if isinstance(first, Dense) and isinstance(second, Lookup):
        return dense.with_table(first, second.table)
    if not isinstance(first, Convolution) or first.pooled:
        return None
    if isinstance(second, Lookup):
        return convolution.with_table(first, second.table)
    rising = first.table is None or bool((np.diff(first.table.astype(int)) >= 0).all())
    if isinstance(second, MaxPool) and second.window.is_2x2 and rising:
        return replace(first, max_2x2=True)
    if isinstance(second, AveragePool) and second.window.is_2x2:
        return replace(first, average=Average(second.values, second.scale, second.zero_point))
    return None


def _check_chain(graph: onnx.GraphProto) -> None:
    """Refuse a graph in which codes are computed with twice: the steps hand their results on, and keep none."""
    readers: dict[str, str] = {}
    for node in graph.node:
        name = node.input[0] if node.input else ""
        if name in readers and OUTPUT not in node.input and name not in {item.name for item in graph.initializer}:
            raise UnsupportedError(
                f"the C export has no graph that branches: {readers[name]} and {node.op_type} read the same values; "
                f"export this net as int8 ONNX"
            )
        readers[name] = node.op_type
