"""The first int8 convolution of grey images on blocks of pixels: the same integers, and a LeNet in 0.62 of the time.

onnxruntime's QLinearConv gathers its windows channel by channel, so that a grey image is copied byte by byte. Here
four neighbouring pixels become the channels of one, a window of blocks replaces the window of pixels
(`wide_windows`), and the outputs that 2x2 max pooling compares become groups of channels. The time is that
of the MNIST net that comes with the package, `column_pairs` included, on one thread of an AMD EPYC with AVX2
(onnxruntime 1.32).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lenet_edge_exporters import folding
from lenet_edge_exporters.column_pairs import pair_columns
from lenet_edge_exporters.folding import attributes_of
from lenet_edge_exporters.wide_windows import Axis, Step, axis_of, in_turn, insert, plain_pads, widen

if TYPE_CHECKING:
    import onnx

PATTERN = [
    "DequantizeLinear", "Conv", "QuantizeLinear", "DequantizeLinear", "MaxPool", "QuantizeLinear", "DequantizeLinear",
]  # fmt: skip
FOUR_IN_A_ROW, TWO_BY_TWO = (1, 4), (2, 2)  # rows and columns; the former lie side by side, the latter are moved
# Filters with which windows of four in a row, larger by a third and more, cost more than what they save: two by two
# give them 32 channels then, all that the kernel computes at a time. On x86 with AVX2 and a 5x5 window four in a row
# take 0.98 of the time of a net with 6 filters, 1.12 with 8, 1.22 with 16.
MANY = 8
PHASES = 4  # places in a window of 2x2
TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)  # Transposes of channels; onnxruntime takes out all that meet


def widen_first_convolution(model: onnx.ModelProto) -> bool:
    """Rewrite pixels -> convolution -> 2x2 max pooling of a quantized graph in place; return whether it applied.

    It applies to one input channel (more are gathered faster anyway), stride 1, and even sizes before and after.
    """
    graph = model.graph
    chain = folding.chain_from(graph, graph.input[0].name)[: len(PATTERN)]
    if [node.op_type for node in chain] != PATTERN:
        return False
    dequantize, conv, quantize, _, pool, requantize, after_pool = chain
    producers = {name: node for node in graph.node for name in node.output}
    pads = plain_pads(graph, conv, producers)
    if pads is None:
        return False
    outputs = len(folding.initializer(graph, producers[conv.input[1]].input[0]))
    axes = _axes(graph, conv, pads, [TWO_BY_TWO] if outputs >= MANY else [FOUR_IN_A_ROW, TWO_BY_TWO])
    if axes is None or not _is_max_pool_of_2x2(pool) or list(quantize.input[1:]) != list(requantize.input[1:]):
        return False
    widen(graph, conv, *axes)
    dequantize.input[0] = in_turn(graph, graph.input[0].name, "blocks", _to_blocks(*axes), dequantize)
    for node in chain[3:6]:
        graph.node.remove(node)
    _pool_phases(graph, axes, outputs, quantize, after_pool)
    folding.drop_unused(graph)
    del graph.value_info[:]
    return True


def _axes(
    graph: onnx.GraphProto, conv: onnx.NodeProto, pads: list[int], blocks: list[tuple[int, int]]
) -> tuple[Axis, Axis] | None:
    """How the convolution looks over the first of these blocks that comes out even; None where none does."""
    channels, *sizes = (dimension.dim_value for dimension in graph.input[0].type.tensor_type.shape.dim[1:])
    if channels != 1 or len(sizes) != 2:
        return None
    kernel = attributes_of(conv)["kernel_shape"]
    for down, across in blocks:
        rows = axis_of(sizes[0], kernel[0], (pads[0], pads[2]), block=down, copies=2)
        columns = axis_of(sizes[1], kernel[1], (pads[1], pads[3]), block=across, copies=across)
        if rows is not None and columns is not None:
            return rows, columns
    return None


def _to_blocks(rows: Axis, columns: Axis) -> list[Step]:
    """[n, 1, h, w] to blocks as channels, [n, b, h / rows, w / columns]."""
    height, width = rows.size // rows.block, columns.size // columns.block
    if rows.block == 1:
        return [[-1, height, width, columns.block], TO_FIRST]
    apart = [-1, height, rows.block, width, columns.block]
    return [apart, (0, 1, 3, 2, 4), [-1, height, width, rows.block * columns.block], TO_FIRST]


def _pool_phases(
    graph: onnx.GraphProto, axes: tuple[Axis, Axis], outputs: int, quantize: onnx.NodeProto, after: onnx.NodeProto
) -> None:
    """Take the greatest of the four phases for `after`, by max pooling over [n, channels, rows, windows of 4 phases].

    MaxPool, and not the shorter Split and Max, because every onnxruntime has it for uint8; between a DequantizeLinear
    and a QuantizeLinear, which onnxruntime takes out, because OpenCV has it for floats alone.
    """
    from onnx import helper

    rows, columns = axes
    side_by_side = columns.copies // 2  # pooled pixels that one window gives
    shape = [-1, rows.positions, columns.positions * PHASES, side_by_side * outputs]
    phases = in_turn(graph, quantize.output[0], "phases", [TO_LAST, shape, TO_FIRST], after)
    numbers, greatest, codes = "phases_as_float", "phases_greatest", "phases_greatest_codes"
    scale = quantize.input[1:]
    for node in (
        helper.make_node("DequantizeLinear", [phases, *scale], [numbers], numbers),
        helper.make_node("MaxPool", [numbers], [greatest], greatest, kernel_shape=[1, PHASES], strides=[1, PHASES]),
        helper.make_node("QuantizeLinear", [greatest, *scale], [codes], codes),
    ):
        after.input[0] = insert(graph, node, after)
    width = columns.positions * side_by_side
    if side_by_side == 2 and not pair_columns(graph, after, (rows.positions, width), outputs):
        shape = [-1, rows.positions, width, outputs]
        after.input[0] = in_turn(graph, codes, "pooled", [TO_LAST, shape, TO_FIRST], after)


def _is_max_pool_of_2x2(pool: onnx.NodeProto) -> bool:
    attributes = attributes_of(pool)
    twos = [list(attributes.get(name, [])) for name in ("kernel_shape", "strides")]
    zeros = [*attributes.get("pads", []), attributes.get("ceil_mode", 0)]
    ones = attributes.get("dilations", [])
    return twos == [[2, 2], [2, 2]] and not any(zeros) and all(value == 1 for value in ones)
