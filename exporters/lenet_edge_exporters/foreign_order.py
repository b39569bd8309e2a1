"""The classes of another tool's graph in another order: its last layer's weights and bias are permuted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lenet_edge_exporters.folding import add_constant, attributes_of, initializer, is_constant
from lenet_edge_exporters.foreign_graph import MOVES, PASSED
from lenet_edge_runtime.errors import ModelFileError

if TYPE_CHECKING:
    import onnx

CLASS_BY_CLASS = (*MOVES, *PASSED, "GlobalAveragePool", "AveragePool")  # leave each class its place


def put_in_order(model: onnx.ModelProto, order: Sequence[int]) -> None:
    """Let output `i` of a graph of `foreign_graph.as_logits` be its output `order[i]`, in place.

    Raises ModelFileError for a graph that ends in something else than a dense layer or a convolution.
    """
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    node = producers.get(graph.output[0].name)
    while node is not None:
        constants = [index for index, name in enumerate(node.input) if is_constant(graph, name)]
        if node.op_type in CLASS_BY_CLASS:
            node = producers.get(node.input[0])
        elif node.op_type == "Add" and len(constants) == 1:
            _permute(graph, node, constants[0], -1, order)
            node = producers.get(node.input[1 - constants[0]])
        elif node.op_type in ("Gemm", "MatMul", "Conv") and constants and constants[0] == 1:
            if node.op_type == "Conv" and attributes_of(node).get("group", 1) != 1:
                break
            by_rows = node.op_type == "Conv" or attributes_of(node).get("transB", 0)
            _permute(graph, node, 1, 0 if by_rows else -1, order)
            if len(node.input) > 2:
                _permute(graph, node, 2, -1, order)
            return
        else:
            break
    ending = node.op_type if node is not None else "nothing"
    raise ModelFileError(
        f"its outputs cannot be put in the order of the data's labels, for it ends in {ending} and no layer with "
        f"weights: export the net with its classes in that order"
    )


def _permute(graph: onnx.GraphProto, node: onnx.NodeProto, place: int, axis: int, order: Sequence[int]) -> None:
    """The constant input at `place` with its classes, along `axis`, in this order; one number for all stays."""
    if not is_constant(graph, node.input[place]):
        raise ModelFileError("the weights of its last layer are computed: export the net anew")
    values = initializer(graph, node.input[place])
    if values.size > 1:
        node.input[place] = add_constant(graph, f"{node.input[place]}.in_order", values.take(list(order), axis))
