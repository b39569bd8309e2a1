"""Short names in a quantized graph: those that the quantizer makes up are a twentieth of a LeNet's file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lenet_edge_exporters import folding

if TYPE_CHECKING:
    import onnx

ENDINGS = {"_quantized_scale": ".q8s", "_quantized": ".q8", "_zero_point": ".z", "_scale": ".s"}


def shorten(graph: onnx.GraphProto) -> None:
    """Leave out a zero point that is 0 anyway (of int32 biases) and shorten the names that the quantizer makes up.

    Together they are a twentieth of a LeNet's file. Layers keep their names.
    """
    import onnx

    int32 = {item.name for item in graph.initializer if item.data_type == onnx.TensorProto.INT32}
    fixed = {item.name for item in [*graph.input, *graph.output]}
    short = {name: f"v{i}" for i, name in enumerate(name for node in graph.node for name in node.output)}
    short |= {item.name: _short(item.name) for item in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in int32:
            del node.input[2:]
        if node.op_type in ("QuantizeLinear", "DequantizeLinear", "Reshape", "Transpose"):
            node.name = ""
        for names in (node.input, node.output):
            names[:] = [name if name in fixed else short.get(name, name) for name in names]
    for item in graph.initializer:
        item.name = short[item.name]
    folding.drop_unused(graph)


def _short(name: str) -> str:
    """`net.c1.weight_quantized_scale` as `c1.weight.q8s`."""
    for long, brief in ENDINGS.items():
        if name.endswith(long):
            return name.removeprefix("net.").removesuffix(long) + brief
    return name
