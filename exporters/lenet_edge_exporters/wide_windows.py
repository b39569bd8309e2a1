"""Convolutions of which one window gives several neighbouring outputs: what `pixel_blocks` and `column_pairs` share.

Neighbouring pixels become the channels of one, which is what memory holds already, and a window of such blocks
replaces the window of pixels. Outputs that were neighbours become channels. What the larger window adds has weight
zero, so every accumulator keeps its bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lenet_edge_exporters.folding import add_constant, attributes_of, initializer, own_pads, set_attribute

if TYPE_CHECKING:
    import onnx

Step = list[int] | tuple[int, ...]


@dataclass(frozen=True)
class Axis:
    """One spatial axis: `block` pixels are one, and a window of `window` blocks gives `copies` outputs."""

    size: int  # pixels
    kernel: int  # pixels of the plain window
    block: int
    copies: int
    window: int  # blocks
    shift: int  # from the first pixel of a window to the first output's
    pads: tuple[int, int]  # blocks before and after
    positions: int  # windows

    @property
    def stride(self) -> int:
        """Blocks from window to window."""
        return self.copies // self.block

    @property
    def steps(self) -> list[int]:
        """How far the second half of the copies lies behind the first, again and again: of four 2, then 1."""
        return [2**power for power in reversed(range(self.copies.bit_length() - 1))]


def axis_of(size: int, kernel: int, pads: tuple[int, int], *, block: int, copies: int) -> Axis | None:
    """How an axis of a convolution looks over blocks (stride 1, `copies` a power of two); None where it is not even."""
    outputs = size + sum(pads) - kernel + 1
    if size % block or outputs % copies or outputs < 1:
        return None
    before = math.ceil(pads[0] / block)
    shift = block * before - pads[0]
    window = (copies - 1 + shift + kernel - 1) // block + 1
    positions = outputs // copies
    after = (positions - 1) * (copies // block) + window - size // block - before
    return Axis(size, kernel, block, copies, window, shift, (before, after), positions) if after >= 0 else None


def plain_pads(graph: onnx.GraphProto, conv: onnx.NodeProto, producers: dict[str, onnx.NodeProto]) -> list[int] | None:
    """Top, left, bottom, right of a quantized convolution that can be widened: stride 1, no groups, int8 weights."""
    attributes = attributes_of(conv)
    ones = [*attributes.get("strides", []), *attributes.get("dilations", []), attributes.get("group", 1)]
    weight = producers.get(conv.input[1])
    if any(value != 1 for value in ones) or weight is None or weight.op_type != "DequantizeLinear":
        return None
    zero_points = initializer(graph, weight.input[2])
    return own_pads(conv) if zero_points.dtype == np.int8 and zero_points.ndim and not zero_points.any() else None


def widen(graph: onnx.GraphProto, conv: onnx.NodeProto, rows: Axis, columns: Axis) -> None:
    """Give a quantized convolution the windows of these axes, and each copy the old scales and biases.

    Output channels are, from outermost to innermost, copies by rows, by columns and the old channels; copies by
    columns count their lowest bit first. Input channels are the rows and columns of a block, then the old channels.
    """
    producers = {name: node for node in graph.node for name in node.output}
    dequantize, *bias = (producers[name] for name in conv.input[1:])
    copies = rows.copies * columns.copies
    for node, first in [(dequantize, 1), *((node, 0) for node in bias)]:
        for place in range(first, len(node.input)):
            values = initializer(graph, node.input[place])
            tiled = np.tile(values, copies if values.ndim else 1)
            node.input[place] = add_constant(graph, f"{node.input[place]}.x{copies}", tiled)
    _lay_out_weights(graph, dequantize, rows, columns)
    set_attribute(conv, "kernel_shape", [rows.window, columns.window])
    set_attribute(conv, "strides", [rows.stride, columns.stride])
    set_attribute(conv, "pads", [rows.pads[0], columns.pads[0], rows.pads[1], columns.pads[1]])


def in_turn(
    graph: onnx.GraphProto, name: str, stem: str, steps: list[Step], before: onnx.NodeProto | None = None
) -> str:
    """Put Reshapes (a list: the shape) and Transposes (a tuple: the permutation) one after the other into the graph.

    They go before a node, or to the end; the result's name is returned.
    """
    from onnx import helper

    for number, step in enumerate(steps):
        result = f"{stem}_{number}"
        if isinstance(step, list):
            shape = add_constant(graph, f"{result}_shape", np.array(step, np.int64))
            node = helper.make_node("Reshape", [name, shape], [result], result)
        else:
            node = helper.make_node("Transpose", [name], [result], result, perm=step)
        insert(graph, node, before)
        name = result
    return name


def insert(graph: onnx.GraphProto, node: onnx.NodeProto, before: onnx.NodeProto | None) -> str:
    """Put a node before another, or at the end; return the name of its result."""
    graph.node.insert(len(graph.node) if before is None else list(graph.node).index(before), node)
    return str(node.output[0])


def _lay_out_weights(graph: onnx.GraphProto, dequantize: onnx.NodeProto, rows: Axis, columns: Axis) -> None:
    """Compute the wide weights by nodes from the old ones: onnxruntime runs these as it opens the file.

    Stored, they would be as many bytes as LeNet's int8 file may still grow. Each step doubles the copies: one is
    padded behind, the other before.
    """
    name = stem = dequantize.input[0]
    filters, channels = initializer(graph, name).shape[:2]
    for place, axis in ((1, columns), (0, rows)):
        margins = [axis.shift, axis.window * axis.block - axis.kernel - axis.shift - (axis.copies - 1)]
        for step in axis.steps:
            halves = [(margins[0], margins[1] + step), (margins[0] + step, margins[1])]
            padded = [_padded(graph, name, place, amounts, dequantize) for amounts in halves]
            name = _stacked(graph, padded, dequantize)
            margins = [0, 0]
    blocks = [filters * rows.copies * columns.copies, channels, rows.window, rows.block, columns.window, columns.block]
    inputs = channels * rows.block * columns.block
    shape = [blocks[0], inputs, rows.window, columns.window]
    dequantize.input[0] = in_turn(graph, name, f"{stem}.wide", [blocks, (0, 3, 5, 1, 2, 4), shape], dequantize)


def _padded(graph: onnx.GraphProto, name: str, place: int, amounts: tuple[int, int], before: onnx.NodeProto) -> str:
    """Zeros before and after rows (place 0) or columns (1) of [outputs, channels, rows, columns]."""
    from onnx import helper

    pads = np.zeros((2, 4), np.int64)
    pads[:, 2 + place] = amounts
    label = "pads_" + "_".join(map(str, [place, *amounts]))
    result = f"{name}.{place}{amounts[0]}"
    node = helper.make_node("Pad", [name, add_constant(graph, label, pads.reshape(-1))], [result], result)
    return insert(graph, node, before)


def _stacked(graph: onnx.GraphProto, names: list[str], before: onnx.NodeProto) -> str:
    from onnx import helper

    result = f"{names[0]}.both"
    return insert(graph, helper.make_node("Concat", names, [result], result, axis=0), before)
