"""Short names in a quantized graph: those that the quantizer makes up are a twentieth of a LeNet's file."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING

from lenet_edge_exporters import folding

if TYPE_CHECKING:
    import onnx

UNNAMED = ("QuantizeLinear", "DequantizeLinear", "Reshape", "Transpose", "Pad", "Concat")
ENDINGS = {"_quantized_scale": ".q8s", "_quantized": ".q8", "_zero_point": ".z", "_scale": ".s"}
ENDING = re.compile(f"({'|'.join(ENDINGS)})(?=$|\\.)")


def shorten(graph: onnx.GraphProto) -> None:
    """Leave out what is there twice or says nothing, and shorten the names that the quantizer makes up.

    Together they are a twentieth of a LeNet's file. Layers keep their names. A zero point of an int32 bias is 0
    anyway; the scale of a first layer's bias is that of its weights, and zero points of codes are alike.
    """
    import onnx

    int32 = {item.name for item in graph.initializer if item.data_type == onnx.TensorProto.INT32}
    fixed = {item.name for item in [*graph.input, *graph.output]}
    kept = _alike(graph)
    brief = _brief(set(kept.values()))
    short = {name: f"v{i}" for i, name in enumerate(name for node in graph.node for name in node.output)}
    short |= {name: brief[first] for name, first in kept.items()}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in int32:
            del node.input[2:]
        if node.op_type in UNNAMED:
            node.name = ""
        for names in (node.input, node.output):
            names[:] = [name if name in fixed else short.get(name, name) for name in names]
    for item in [item for item in graph.initializer if kept[item.name] != item.name]:
        graph.initializer.remove(item)
    for item in graph.initializer:
        item.name = short[item.name]
    folding.drop_unused(graph)


def _alike(graph: onnx.GraphProto) -> dict[str, str]:
    """Every constant by name, with the first one of the same type, shape and values."""
    first: dict[bytes, str] = {}
    found = {}
    for item in graph.initializer:
        name, item.name = item.name, ""
        found[name] = first.setdefault(item.SerializeToString(deterministic=True), name)
        item.name = name
    return found


def _brief(names: set[str]) -> dict[str, str]:
    """`net.layers.c1.weight_quantized_scale.x8` as `c1.weight.q8s.x8`, if all weights are of `net.layers`.

    As they are where two names would become one.
    """
    weights = [name.split(".") for name in names if ".weight" in name]
    shared = takewhile(lambda parts: len({*parts}) == 1, zip(*weights, strict=False)) if len(weights) > 1 else ()
    prefix = "".join(f"{parts[0]}." for parts in shared)
    brief = {name: ENDING.sub(lambda found: ENDINGS[found[1]], name.removeprefix(prefix)) for name in names}
    return brief if len({*brief.values()}) == len(names) else {name: name for name in names}
