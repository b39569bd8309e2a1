"""Rewriting an ONNX graph so that it does the same with less: the preprocessing folded into the first convolution.

For a convolution without padding of its own, on x = scale * pixels + shift with `pixels` padded by zeros:
W * x + b  =  (W scale) * pixels + (b + sum of W shift), and the zero padding of raw pixels is the convolution's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx


def fold_normalisation(model: onnx.ModelProto) -> bool:
    """Fold Cast -> [Pad] -> Mul -> Add -> Conv into Cast -> Conv, in place; return whether it was legal and done."""
    graph = model.graph
    chain = chain_from(graph, graph.input[0].name)
    pad = chain.pop(1) if len(chain) > 1 and chain[1].op_type == "Pad" else None
    if [node.op_type for node in chain[:4]] != ["Cast", "Mul", "Add", "Conv"]:
        return False
    cast, mul, add, conv = chain[:4]
    attributes = {item.name: item for item in conv.attribute}
    own_pads = list(attributes["pads"].ints) if "pads" in attributes else [0, 0, 0, 0]
    groups = attributes["group"].i if "group" in attributes else 1
    if any(own_pads) or groups != 1 or _auto_pad(attributes) != "NOTSET":
        return False  # the convolution pads with normalised zeros, which are no zeros of the raw image

    scale, shift = (constant(graph, node.input[1]).reshape(-1) for node in (mul, add))
    weight = constant(graph, conv.input[1])
    bias = constant(graph, conv.input[2]) if len(conv.input) > 2 else np.zeros(len(weight))
    folded_weight = weight * scale[None, :, None, None]
    folded_bias = bias + np.einsum("ocyx,c->o", weight, np.broadcast_to(shift, weight.shape[1]))
    conv.input[:] = [cast.output[0], *_replace(graph, conv, folded_weight, folded_bias)]
    if pad is not None:
        from onnx import helper

        top, left, bottom, right = _spatial_pads(graph, pad)
        if "pads" in attributes:
            conv.attribute.remove(attributes["pads"])
        conv.attribute.append(helper.make_attribute("pads", [top, left, bottom, right]))
        graph.node.remove(pad)
    graph.node.remove(mul)
    graph.node.remove(add)
    drop_unused(graph)
    return True


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove the initializers that no node reads."""
    read = {name for node in graph.node for name in node.input}
    for item in [item for item in graph.initializer if item.name not in read]:
        graph.initializer.remove(item)


def chain_from(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    """The nodes that follow the value `name` as long as each result has exactly one reader."""
    chain: list[onnx.NodeProto] = []
    while True:
        readers = [node for node in graph.node if name in node.input]
        if len(readers) != 1 or readers[0].input[0] != name:
            return chain
        chain.append(readers[0])
        name = readers[0].output[0]


def initializer(graph: onnx.GraphProto, name: str) -> NDArray[Any]:
    """The values of an initializer, in its own type."""
    from onnx import numpy_helper

    return numpy_helper.to_array(next(item for item in graph.initializer if item.name == name))


def constant(graph: onnx.GraphProto, name: str) -> NDArray[np.float64]:
    """The values of an initializer, whatever its type, to compute with."""
    return initializer(graph, name).astype(np.float64)


def _replace(
    graph: onnx.GraphProto, conv: onnx.NodeProto, weight: NDArray[np.float64], bias: NDArray[np.float64]
) -> tuple[str, str]:
    """Add folded weights and bias under the old weight's name; the old ones go when nobody reads them."""
    from onnx import numpy_helper

    names = conv.input[1] + ".folded", conv.input[1] + ".folded_bias"
    for name, values in zip(names, (weight, bias), strict=True):
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    return names


def _spatial_pads(graph: onnx.GraphProto, pad: onnx.NodeProto) -> tuple[int, int, int, int]:
    # ONNX Pad lists the begins of all axes, then the ends: [n, c, top, left, n, c, bottom, right].
    amounts = [int(value) for value in constant(graph, pad.input[1])]
    return amounts[2], amounts[3], amounts[6], amounts[7]


def _auto_pad(attributes: dict[str, Any]) -> str:
    return attributes["auto_pad"].s.decode() if "auto_pad" in attributes else "NOTSET"
