"""The int8 convolution behind the first one, on pairs of columns: the same integers in fewer and longer steps.

onnxruntime's kernel for int8 weights takes its inputs where they lie if their channels are a multiple of four, and
copies every window first otherwise. Of LeNet's six channels two columns make twelve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lenet_edge_exporters import folding
from lenet_edge_exporters.folding import attributes_of
from lenet_edge_exporters.wide_windows import axis_of, in_turn, plain_pads, widen

if TYPE_CHECKING:
    import onnx

ALIGNED = 4  # input channels that the kernel takes at a time


def pair_columns(graph: onnx.GraphProto, dequantize: onnx.NodeProto, size: tuple[int, int], channels: int) -> bool:
    """Rewrite a convolution on images of `channels` and this size, which are laid out in pairs of columns already.

    `dequantize` is what reads their codes. Returns whether it applied: where pairs and not single columns are
    aligned, at stride 1 and for even widths before and after.
    """
    chain = folding.chain_from(graph, dequantize.input[0])[:3]
    if [node.op_type for node in chain] != ["DequantizeLinear", "Conv", "QuantizeLinear"]:
        return False
    _, conv, quantize = chain
    producers = {name: node for node in graph.node for name in node.output}
    pads = plain_pads(graph, conv, producers)
    if pads is None or channels % ALIGNED == 0 or 2 * channels % ALIGNED:
        return False
    kernel = attributes_of(conv)["kernel_shape"]
    rows = axis_of(size[0], kernel[0], (pads[0], pads[2]), block=1, copies=1)
    columns = axis_of(size[1], kernel[1], (pads[1], pads[3]), block=2, copies=2)
    if rows is None or columns is None:
        return False
    outputs = len(folding.initializer(graph, producers[conv.input[1]].input[0]))
    widen(graph, conv, rows, columns)
    shape = [-1, rows.positions, 2 * columns.positions, outputs]
    readers = [node for node in graph.node if quantize.output[0] in node.input]
    apart = in_turn(graph, quantize.output[0], "columns", [(0, 2, 3, 1), shape, (0, 3, 1, 2)], readers[0])
    for node in readers:
        node.input[:] = [apart if name == quantize.output[0] else name for name in node.input]
    return True
