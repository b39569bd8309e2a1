"""The last layer of another tool's graph changed: its classes in another order, or its logits divided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.folding import add_constant, attributes_of, initializer, is_constant
from lenet_edge_exporters.foreign_graph import MOVES, PASSED
from lenet_edge_runtime.errors import ModelFileError

if TYPE_CHECKING:
    import onnx

CLASS_BY_CLASS = (*MOVES, *PASSED, "GlobalAveragePool", "AveragePool")  # leave each class its place and are linear
Change = Callable[[NDArray[np.float32], int], NDArray[np.float32]]  # weights or biases, and the axis of their classes


def put_in_order(model: onnx.ModelProto, order: Sequence[int]) -> None:
    """Let output `i` of a graph of `foreign_graph.as_logits` be its output `order[i]`, in place.

    Raises ModelFileError for a graph that ends in something else than a dense layer or a convolution.
    """

    def permuted(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
        return values.take(list(order), axis) if values.size > 1 else values  # one number for all stays

    try:
        _change_last_layer(model.graph, permuted, ".in_order")
    except ModelFileError as error:
        raise ModelFileError(
            f"its outputs cannot be put in the order of the data's labels, for {error}: export the net with its "
            f"classes in that order"
        ) from None


def divide_logits(model: onnx.ModelProto, divisor: float) -> None:
    """Divide the outputs of a graph of `foreign_graph.as_logits`, in place; raises ModelFileError as `put_in_order`."""
    _change_last_layer(model.graph, lambda values, _axis: values / np.float32(divisor), ".divided")


def _change_last_layer(graph: onnx.GraphProto, change: Change, suffix: str) -> None:
    """Change weights and biases of the layer that the output comes from; `suffix` names the new constants."""
    producers = {name: node for node in graph.node for name in node.output}
    node = producers.get(graph.output[0].name)
    while node is not None:
        constants = [index for index, name in enumerate(node.input) if is_constant(graph, name)]
        if node.op_type in CLASS_BY_CLASS:
            node = producers.get(node.input[0])
        elif node.op_type == "Add" and len(constants) == 1:
            _replace(graph, node, constants[0], -1, change, suffix)
            node = producers.get(node.input[1 - constants[0]])
        elif node.op_type in ("Gemm", "MatMul", "Conv") and constants and constants[0] == 1:
            if node.op_type == "Conv" and attributes_of(node).get("group", 1) != 1:
                break
            by_rows = node.op_type == "Conv" or attributes_of(node).get("transB", 0)
            _replace(graph, node, 1, 0 if by_rows else -1, change, suffix)
            if len(node.input) > 2:
                _replace(graph, node, 2, -1, change, suffix)
            return
        else:
            break
    raise ModelFileError(f"it ends in {node.op_type if node is not None else 'nothing'} and no layer with weights")


def _replace(graph: onnx.GraphProto, node: onnx.NodeProto, place: int, axis: int, change: Change, suffix: str) -> None:
    """Put a changed copy of the constant input at `place`, whose classes lie along `axis`, in its place."""
    if not is_constant(graph, node.input[place]):
        raise ModelFileError("the weights of its last layer are computed")
    values = initializer(graph, node.input[place])
    node.input[place] = add_constant(graph, f"{node.input[place]}{suffix}", change(values, axis))
