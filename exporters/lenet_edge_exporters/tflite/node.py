"""An ONNX node of a float32 graph, with what it reads as tensors of the TFLite file that is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.folding import own_pads
from lenet_edge_exporters.integer_program.program import UnsupportedError, Window
from lenet_edge_exporters.tflite.model import ModelWriter, Numbers, Shape

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Value:
    """A tensor of the file: its shape without the batch, (height, width, channels) or (n,).

    `flattened`: ONNX sees a row of it, channels first. `rectified`: a Relu that follows is done already.
    """

    tensor: int
    shape: Shape
    flattened: bool = False
    rectified: bool = False


@dataclass(frozen=True)
class Node:
    """An ONNX node with what it reads: tensors of the file, and constants."""

    node: onnx.NodeProto
    inputs: list[Value | NDArray[Any]]
    attributes: Mapping[str, Any]
    writer: ModelWriter
    name: str  # of the tensor that it writes
    fused: int  # the activation function that follows

    def refuse(self, why: str = "") -> UnsupportedError:
        """The error for what this node asks and the file cannot say."""
        where = f" ({self.node.name})" if self.node.name else ""
        return UnsupportedError(
            f"the float TFLite export has no {self.node.op_type}{where}{why}; export this net as onnx"
        )

    def require(self, attribute: str, *allowed: Any) -> None:
        """Refuse an attribute whose value is none of these; an absent one is at its default and fine."""
        value = self.attributes.get(attribute, allowed[0])
        if value not in allowed:
            raise self.refuse(f" with {attribute} {value}")

    def value(self) -> Value:
        """The first input, which has to be no constant."""
        return self.of_tensor(self.inputs[0])

    def of_tensor(self, item: Value | NDArray[Any]) -> Value:
        if not isinstance(item, Value):
            raise self.refuse(" of a constant")
        return item

    def image(self) -> Value:
        """The first input, which has to be an image."""
        value = self.value()
        if len(value.shape) != 3 or value.flattened:
            raise self.refuse(f" of a tensor of shape {value.shape}")
        return value

    def constant(self, place: int) -> NDArray[np.float32]:
        """An input that has to be a constant."""
        item = self.inputs[place]
        if not isinstance(item, np.ndarray):
            raise self.refuse(" with weights that are not constant")
        return item.astype(np.float32)

    def write(self, kind: str, inputs: list[int], shape: Shape, options: str = "NONE", **values: Any) -> Value:
        """Append an operator that gives float32 of this shape."""
        return Value(self.writer.operator(kind, inputs, self.name, Numbers(shape), options, values), shape)

    def write_fused(self, kind: str, inputs: list[int], shape: Shape, options: str, **values: Any) -> Value:
        """The same, with the Relu that follows in it, if one does."""
        written = self.write(kind, inputs, shape, options, fusedActivationFunction=self.fused, **values)
        return replace(written, rectified=bool(self.fused))

    def weights(self, values: NDArray[np.float32], outputs: int) -> list[int]:
        """Constants for weights, laid out as TFLite has them, and for the bias, zeros where the node has none."""
        bias = self.constant(2) if len(self.inputs) > 2 else np.zeros(outputs, np.float32)
        return [
            self.writer.constant(f"{self.name}_weights", values),
            self.writer.constant(f"{self.name}_bias", bias.reshape(-1)),
        ]

    def window(self, image: Value, kernel: tuple[int, int]) -> Window:
        """The window that this node slides over an image."""
        pads = own_pads(self.node)
        if pads is None:
            raise self.refuse(" with padding by the size of the image")
        strides, dilations = (self.attributes.get(name, [1, 1]) for name in ("strides", "dilations"))
        height, width, channels = image.shape
        return Window(
            channels, height, width, kernel, (strides[0], strides[1]), (pads[0], pads[1], pads[2], pads[3]),
            (dilations[0], dilations[1]),
        )  # fmt: skip
