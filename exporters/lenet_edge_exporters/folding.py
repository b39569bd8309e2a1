"""Rewriting an ONNX graph so that it does the same with less: the preprocessing folded into the first layer.

For a convolution on x = scale * pixels + shift, whose padding adds zeros to x:
W * x + b  =  (W scale) * (pixels + shift / scale) + b, and its own zero padding stays right. Without padding of its own
the shift goes into the bias, W * x + b  =  (W scale) * pixels + (b + sum of W shift), and zeros around the raw image
become the convolution's padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

Numbers = NDArray[np.float64]
LAYOUT = ("Reshape", "Flatten")  # of an image to a row
SHIFT = "pixels.shift"  # the node that takes from each channel what normalises to 0, before a padded convolution


@dataclass(frozen=True)
class Affine:
    """scale * x + shift, a number of each for a channel."""

    scale: Numbers
    shift: Numbers

    def then(self, other: Affine) -> Affine:
        return Affine(self.scale * other.scale, self.shift * other.scale + other.shift)

    @property
    def zero(self) -> Numbers:
        """What each channel's x is where the result is 0."""
        return -self.shift / self.scale


def fold_normalisation(model: onnx.ModelProto) -> bool:
    """Fold Cast -> [Pad] -> normalisation -> layer into Cast -> layer, in place; return whether it was done.

    The normalisation is any chain of Mul, Add, Sub, Div and BatchNormalization with constants; the layer a Conv, or a
    Gemm behind a Reshape. In front of a Conv that pads by zeros of its own an Add stays, if those are no zeros of the
    raw image.
    """
    graph = model.graph
    chain = chain_from(graph, graph.input[0].name)
    if not chain or chain[0].op_type != "Cast":
        return False
    cast, *rest = chain
    pad = rest.pop(0) if rest and rest[0].op_type == "Pad" else None
    channels = graph.input[0].type.tensor_type.shape.dim[1].dim_value
    normalising, affine = affine_from(graph, (pad or cast).output[0], channels)
    layout = [node for node in rest[len(normalising) :][:1] if node.op_type in LAYOUT]
    after = rest[len(normalising) + len(layout) :]
    if not normalising or not after or not affine.scale.all():
        return False
    layer, source = after[0], (pad or cast).output[0]
    if layer.op_type == "Conv" and not layout:
        done = _fold_into_convolution(graph, layer, affine, source, pad)
    else:
        done = bool(layout) and layer.op_type == "Gemm" and _fold_into_dense(graph, layer, affine)
        if done:
            layout[0].input[0] = source
    if done:
        remove(graph, normalising)
    return done


def affine_of(graph: onnx.GraphProto, node: onnx.NodeProto, channels: int) -> Affine | None:
    """What a node with constants does to each channel of an image; None where that is no scale and no shift."""
    ones, zeros = np.ones(channels), np.zeros(channels)
    if node.op_type == "BatchNormalization":
        gain, bias, mean, variance = (constant(graph, name) for name in node.input[1:5])
        epsilon = attributes_of(node).get("epsilon", 1e-5)
        scale = gain / np.sqrt(variance + epsilon)
        return Affine(scale, bias - mean * scale) if len(scale) == channels else None
    if node.op_type not in ("Mul", "Add", "Sub", "Div"):
        return None
    known = [name for name in node.input if is_constant(graph, name)]
    if len(known) != 1 or (node.op_type == "Div" and node.input[0] in known):
        return None
    value = _by_channel(constant(graph, known[0]), channels)
    if value is None:
        return None
    if node.op_type in ("Mul", "Div"):
        return Affine(value if node.op_type == "Mul" else 1 / value, zeros)
    if node.op_type == "Add":
        return Affine(ones, value)
    return Affine(ones, -value) if node.input[1] in known else Affine(-ones, value)


def affine_from(graph: onnx.GraphProto, name: str, channels: int) -> tuple[list[onnx.NodeProto], Affine]:
    """The nodes behind a value that only scale and shift its channels, and what they do together."""
    nodes, together = [], Affine(np.ones(channels), np.zeros(channels))
    for node in chain_from(graph, name):
        step = affine_of(graph, node, channels)
        if step is None:
            break
        nodes.append(node)
        together = together.then(step)
    return nodes, together


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove the initializers that no node reads."""
    read = {name for node in graph.node for name in node.input}
    for item in [item for item in graph.initializer if item.name not in read]:
        graph.initializer.remove(item)


def remove(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Remove nodes whose results nobody reads any more, and the constants that only they read."""
    for node in nodes:
        graph.node.remove(node)
    drop_unused(graph)


def chain_from(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    """The nodes that follow the value `name` as long as each result has exactly one reader."""
    chain: list[onnx.NodeProto] = []
    while True:
        readers = [node for node in graph.node if name in node.input]
        if len(readers) != 1 or list(readers[0].input).count(name) != 1 or _is_not_first(graph, readers[0], name):
            return chain
        chain.append(readers[0])
        name = readers[0].output[0]


def initializer(graph: onnx.GraphProto, name: str) -> NDArray[Any]:
    """The values of an initializer, in its own type."""
    from onnx import numpy_helper

    return numpy_helper.to_array(next(item for item in graph.initializer if item.name == name))


def constant(graph: onnx.GraphProto, name: str) -> Numbers:
    """The values of an initializer, whatever its type, to compute with."""
    return initializer(graph, name).astype(np.float64)


def is_constant(graph: onnx.GraphProto, name: str) -> bool:
    """Whether a value is an initializer."""
    return any(item.name == name for item in graph.initializer)


def add_constant(graph: onnx.GraphProto, name: str, values: NDArray[Any]) -> str:
    """Store a constant under this name, once; return the name."""
    from onnx import numpy_helper

    if not is_constant(graph, name):
        graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes by name."""
    from onnx import helper

    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def set_attribute(node: onnx.NodeProto, name: str, value: Any) -> None:
    """Give a node an attribute in the place of what it had by that name; None: remove it."""
    from onnx import helper

    for item in [item for item in node.attribute if item.name == name]:
        node.attribute.remove(item)
    if value is not None:
        node.attribute.append(helper.make_attribute(name, value))


def spatial_pads(graph: onnx.GraphProto, pad: onnx.NodeProto) -> list[int] | None:
    """Top, left, bottom, right of a Pad by zeros on an image; None for another Pad.

    ONNX lists the begins of all axes, then the ends: [n, c, top, left, n, c, bottom, right].
    """
    attributes, values = attributes_of(pad), list(pad.input[2:3])
    if attributes.get("mode", b"constant") != b"constant" or (len(pad.input) > 3 and pad.input[3]):
        return None
    if values and values[0] and (not is_constant(graph, values[0]) or constant(graph, values[0]).any()):
        return None
    amounts = [int(value) for value in constant(graph, pad.input[1])] if is_constant(graph, pad.input[1]) else []
    if len(amounts) != 8 or any(amounts[axis] for axis in (0, 1, 4, 5)) or min(amounts) < 0:
        return None
    return [amounts[2], amounts[3], amounts[6], amounts[7]]


def own_pads(convolution: onnx.NodeProto) -> list[int] | None:
    """Top, left, bottom, right of a convolution; None where they depend on the image's size."""
    attributes = attributes_of(convolution)
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return None
    return list(attributes.get("pads", [0, 0, 0, 0]))


def _is_not_first(graph: onnx.GraphProto, node: onnx.NodeProto, name: str) -> bool:
    """Whether a node reads a value as another than its first that is no constant."""
    first = next(item for item in node.input if not is_constant(graph, item))
    return str(first) != name


def _fold_into_convolution(
    graph: onnx.GraphProto, conv: onnx.NodeProto, affine: Affine, source: str, pad: onnx.NodeProto | None
) -> bool:
    raw, own = spatial_pads(graph, pad) if pad is not None else [0] * 4, own_pads(conv)
    if raw is None or own is None or not is_constant(graph, conv.input[1]):
        return False
    weight = constant(graph, conv.input[1])
    scale, shift = (of_inputs(values, weight, conv) for values in (affine.scale, affine.shift))
    bias = constant(graph, conv.input[2]) if len(conv.input) > 2 else np.zeros(len(weight))
    if any(own) and affine.shift.any():
        source = _shifted(graph, conv, source, affine.zero)
    else:
        bias = bias + (weight * shift).sum((1, 2, 3))
        if pad is not None:
            source = pad.input[0]
            set_attribute(conv, "pads", [a + b for a, b in zip(raw, own, strict=True)])
            set_attribute(conv, "auto_pad", None)
            graph.node.remove(pad)
    conv.input[:] = [source, *_replace(graph, conv, weight * scale, bias)]
    return True


def _shifted(graph: onnx.GraphProto, conv: onnx.NodeProto, source: str, zero: Numbers) -> str:
    """Put an Add before a convolution that takes `zero` from each channel of `source`; return its result."""
    from onnx import helper

    amounts = add_constant(graph, "pixels.zero", (-zero).astype(np.float32).reshape(1, -1, 1, 1))
    node = helper.make_node("Add", [source, amounts], ["shifted"], SHIFT)
    graph.node.insert(list(graph.node).index(conv), node)
    return "shifted"


def _fold_into_dense(graph: onnx.GraphProto, gemm: onnx.NodeProto, affine: Affine) -> bool:
    attributes = attributes_of(gemm)
    plain = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}
    if any(attributes.get(name, 0 if name == "transB" else value) != value for name, value in plain.items()):
        return False
    if not all(is_constant(graph, name) for name in gemm.input[1:]):
        return False
    weight = constant(graph, gemm.input[1])
    if weight.shape[1] % len(affine.scale):
        return False
    scale, shift = (np.repeat(values, weight.shape[1] // len(values)) for values in (affine.scale, affine.shift))
    bias = constant(graph, gemm.input[2]) if len(gemm.input) > 2 else np.zeros(len(weight))
    gemm.input[1:] = _replace(graph, gemm, weight * scale, bias + weight @ shift)
    return True


def _replace(graph: onnx.GraphProto, layer: onnx.NodeProto, weight: Numbers, bias: Numbers) -> tuple[str, str]:
    """Add folded weights and bias under the old weight's name; the old ones go when nobody reads them."""
    names = layer.input[1] + ".folded", layer.input[1] + ".folded_bias"
    for name, values in zip(names, (weight, bias), strict=True):
        add_constant(graph, name, values.astype(np.float32))
    return names


def of_inputs(values: Numbers, weight: Numbers, conv: onnx.NodeProto) -> Numbers:
    """A number for each channel as one for each weight, [filters, channels of a group, 1, 1]."""
    groups = int(attributes_of(conv).get("group", 1))
    by_group = values.reshape(groups, 1, -1)
    return np.repeat(by_group, len(weight) // groups, axis=1).reshape(len(weight), -1, 1, 1)


def _by_channel(values: Numbers, channels: int) -> Numbers | None:
    """A constant beside an image as a number for each channel; None where it varies within one."""
    if values.size == 1:
        return np.full(channels, values.reshape(-1)[0])
    if values.size == channels and values.shape[-2:] == (1, 1):
        return values.reshape(-1)
    return None
