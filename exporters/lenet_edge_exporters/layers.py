"""The layers of a float32 ONNX graph that can be quantized, and which of them are meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lenet_edge_exporters.export_job import Layers

if TYPE_CHECKING:
    import onnx

LAYER_TYPES = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class Layer:
    """A layer with weights, as the ONNX graph names it (`node`) and as the torch module does (`label`)."""

    node: str
    op_type: str
    label: str


def layers_of(model: onnx.ModelProto) -> list[Layer]:
    """The layers that can be quantized, in the order of the graph."""
    weights = {item.name for item in model.graph.initializer}
    return [
        Layer(node.name, node.op_type, node.input[1].partition(".weight")[0].removeprefix("net."))
        for node in model.graph.node
        if node.op_type in LAYER_TYPES and node.input[1] in weights
    ]


def chosen_layers(model: onnx.ModelProto, layers: Layers) -> list[Layer]:
    """The layers that `layers` means in this graph; raises ValueError where a name is none of them."""
    known = layers_of(model)
    if layers == "all":
        return known
    if layers == "linear":
        return [layer for layer in known if layer.op_type != "Conv"]
    if unknown := set(layers) - {layer.node for layer in known}:
        names = ", ".join(layer.node for layer in known)
        raise ValueError(f"no layer is called {', '.join(sorted(unknown))}; choose among {names}")
    return [layer for layer in known if layer.node in layers]


def left_in_float(model: onnx.ModelProto, quantized: list[Layer]) -> list[str]:
    """The nodes to leave in float: the other layers, and what stands between them and the next layer."""
    layers = [layer.node for layer in layers_of(model)]
    chosen = {layer.node for layer in quantized}
    layer_before: dict[str, str] = {}  # value -> the layer that it comes from
    found = []
    for node in model.graph.node:
        inherited = next((layer_before[name] for name in node.input if name in layer_before), layers[0])
        layer = node.name if node.name in layers else inherited
        layer_before.update(dict.fromkeys(node.output, layer))
        if layer not in chosen:
            found.append(node.name)
    return found
