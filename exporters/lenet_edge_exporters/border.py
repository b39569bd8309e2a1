"""A first convolution that pads what normalises to zero, in 8 bits: the pixels' zero point is that grey level.

Without it the border would be black: 0 is a pixel, and no zero of the normalised image. The zero point is whole, so
the border errs by half a grey level at most; inside the image the bias makes up for it exactly. Channels whose zeros
lie further apart share one zero point, and what each lacks comes from one more channel, which is 255 inside the image
and at the zero point around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lenet_edge_exporters import folding
from lenet_edge_exporters.folding import SHIFT, add_constant, constant

if TYPE_CHECKING:
    import onnx

CHANNEL = "pixels.channel"  # the Pad that adds the channel
WHITE = 255


def shift_of(graph: onnx.GraphProto) -> onnx.NodeProto | None:
    """The Add before a convolution that pads normalised images (`folding`), where there is one."""
    return next((node for node in graph.node if node.name == SHIFT), None)


def zero_point_of(graph: onnx.GraphProto) -> int:
    """The zero point of the pixels of a `to_whole_levels` graph that has such an Add."""
    shift = shift_of(graph)
    return 0 if shift is None else int(-constant(graph, shift.input[1]).reshape(-1)[0])


def pads_of(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The Pads before that Add, in order."""
    shift = shift_of(graph)
    found: list[onnx.NodeProto] = []
    name = "" if shift is None else shift.input[0]
    while producer := next((node for node in graph.node if name in node.output), None):
        found += [producer] if producer.op_type == "Pad" else []
        name = producer.input[0]
    return found[::-1]


def to_whole_levels(graph: onnx.GraphProto) -> None:
    """Make the Add take a whole grey level from all channels, the same, and the convolution make up for the rest."""
    shift = shift_of(graph)
    if shift is None:
        return
    conv = next(node for node in graph.node if shift.output[0] in node.input)
    exact = -constant(graph, shift.input[1]).reshape(-1)
    zero = float(np.clip(np.rint((exact.min() + exact.max()) / 2), 0, WHITE))
    rest = zero - exact
    weight = constant(graph, conv.input[1])
    shift.input[1] = add_constant(graph, "pixels.zero_point", np.full((1, 1, 1, 1), -zero, np.float32))
    if np.abs(rest).max() > 0.5 and folding.attributes_of(conv).get("group", 1) == 1:
        _add_channel(graph, shift, conv, np.einsum("ocyx,c->oyx", weight, rest), zero)
        return
    bias = constant(graph, conv.input[2]) + (weight * folding.of_inputs(rest, weight, conv)).sum((1, 2, 3))
    conv.input[2] = add_constant(graph, conv.input[2] + ".whole", bias.astype(np.float32))


def take_pixels_as_codes(graph: onnx.GraphProto, pixels: str) -> None:
    """Let the convolution of a quantized graph read the pixels themselves at their zero point, in place.

    What the Add computed are the same codes.
    """
    shift = shift_of(graph)
    quantize = next((node for node in graph.node if shift is not None and shift.output[0] in node.input), None)
    if quantize is None or quantize.op_type != "QuantizeLinear":
        return
    codes = pixels
    for pad in pads_of(graph):
        codes = _pad_of_codes(graph, pad, codes)
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] == quantize.output[0]:
            node.input[0] = codes


def _add_channel(
    graph: onnx.GraphProto, shift: onnx.NodeProto, conv: onnx.NodeProto, weight: folding.Numbers, zero: float
) -> None:
    from onnx import helper

    value = WHITE if zero < WHITE / 2 else 0
    own = weight[:, None] / (value - zero)
    wider = np.concatenate([constant(graph, conv.input[1]), own], 1).astype(np.float32)
    conv.input[1] = add_constant(graph, conv.input[1] + ".wider", wider)
    amounts = add_constant(graph, f"{CHANNEL}.amounts", np.array([0, 0, 0, 0, 0, 1, 0, 0]))
    level = add_constant(graph, f"{CHANNEL}.level", np.array(value, np.float32))
    pad = helper.make_node("Pad", [shift.input[0], amounts, level], [CHANNEL], CHANNEL)
    graph.node.insert(list(graph.node).index(shift), pad)
    shift.input[0] = CHANNEL


def _pad_of_codes(graph: onnx.GraphProto, pad: onnx.NodeProto, codes: str) -> str:
    """The same Pad of uint8 pixels; return its result."""
    from onnx import helper

    value = constant(graph, pad.input[2]).reshape(()) if len(pad.input) > 2 and pad.input[2] else np.zeros(())
    level = add_constant(graph, f"{pad.output[0]}.code", value.astype(np.uint8))
    result = f"{pad.output[0]}.codes"
    node = helper.make_node("Pad", [codes, pad.input[1], level], [result], f"{pad.name}.codes")
    graph.node.insert(0 if codes == graph.input[0].name else _after(graph, codes), node)
    return result


def _after(graph: onnx.GraphProto, name: str) -> int:
    return next(place for place, node in enumerate(graph.node, 1) if name in node.output)
