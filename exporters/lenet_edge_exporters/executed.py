"""What onnxruntime makes of a graph: the operators that it really executes, after fusing QDQ pairs into integer ones.

A file with a QuantizeLinear around everything may still be computed in float: an operator without an integer kernel
keeps its DequantizeLinear and QuantizeLinear. Only the optimised graph tells.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lenet_edge_exporters.onnx import FLOAT_INPUT, OUTPUT
from lenet_edge_runtime.sessions import open_content

if TYPE_CHECKING:
    import onnx

# They move values about and compute nothing, whatever the type.
LAYOUT = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "ReorderInput", "ReorderOutput")
CONVERSIONS = ("Cast", "QuantizeLinear", "DequantizeLinear")
INTEGER = ("QGemm", "ConvInteger", "MatMulInteger")  # besides QLinear...


def float_nodes(content: bytes) -> list[dict[str, str]]:
    """Those that compute in float between the input and the logits, each `{"op_type": ..., "name": ...}`.

    Changes of layout and of type are no computing; a last layer that sums integers and scales them to float logits
    is an integer one. A normalised float32 input is a float value; quantizing it is a change of type.
    """
    found, in_float = [], {FLOAT_INPUT}
    for node in executed_nodes(content):
        if _gives_float(node, in_float):
            in_float |= set(node.output)
        reads_float = any(name in in_float for name in node.input)
        if reads_float and node.op_type not in (*LAYOUT, *CONVERSIONS):
            found.append({"op_type": node.op_type, "name": node.name})
    return found


def _gives_float(node: onnx.NodeProto, in_float: set[str]) -> bool:
    """Whether the result is float, given the names of float values before it; constants are not among them."""
    import onnx

    if node.op_type == "DequantizeLinear":
        return True
    if node.op_type == "Cast":
        return any(item.name == "to" and item.i == onnx.TensorProto.FLOAT for item in node.attribute)
    if node.op_type == "QuantizeLinear" or node.op_type.startswith("QLinear") or node.op_type in INTEGER:
        return False
    return any(name in in_float for name in node.input)


def executed_nodes(content: bytes) -> list[onnx.NodeProto]:
    """The nodes of an ONNX file that onnxruntime executes on this machine to get the logits, in their order."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "optimised.onnx"
        open_content(content, "the ONNX graph", optimised=optimised)
        nodes = list(onnx.load(optimised).graph.node)
    needed, kept = {OUTPUT}, []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1]
