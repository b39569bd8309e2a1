"""Another tool's ONNX classifier in the place of a network in PyTorch: the source of the formats made of ONNX."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lenet_edge_exporters import foreign_graph
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.foreign_classifier import ForeignInput
from lenet_edge_runtime.guard import Guard
from lenet_edge_runtime.spec import InputType, ModelSpec

if TYPE_CHECKING:
    import onnx


class ForeignNet(nn.Module):
    """The bytes of an ONNX file as a buffer, and what onnxruntime answers with them, in a child process under limits.

    It answers with the logits: with what the file's last Softmax is given, where it has one.
    """

    content: Tensor

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.register_buffer("content", torch.zeros(size, dtype=torch.uint8))

    @classmethod
    def of(cls, content: bytes, classes: int) -> ForeignNet:
        """The net of a file's bytes."""
        net = cls(len(content), classes)
        net.content = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        return net

    def forward(self, images: Tensor) -> Tensor:
        """Normalised float32 [n, channels, height, width] to logits, float32 [n, classes]."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "theirs.onnx"
            path.write_bytes(self._as_logits().SerializeToString())
            fed = input_of(path).laid_out(images.numpy())
            _, rows = Guard().ask("run", [path], [fed], classes=self.classes)
        return torch.from_numpy(rows)

    def graph(self, spec: ModelSpec, input_type: InputType) -> onnx.ModelProto:
        """The graph as `onnx.trace` gives that of a network in PyTorch: from the input of this type to logits."""
        model = self.normalised_graph()
        if input_type == "uint8":
            foreign_graph.take_pixels(model, spec)
        return model

    def normalised_graph(self) -> onnx.ModelProto:
        """The graph from normalised images to logits; raises ModelFileError for what is no graph of ours."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "theirs.onnx"
            path.write_bytes(self._as_logits().SerializeToString())
            taken = input_of(path)
        return foreign_graph.as_ours(self._as_logits(), taken.layout, (taken.channels, taken.height, taken.width))

    def _as_logits(self) -> onnx.ModelProto:
        return foreign_graph.as_logits(self.content.numpy().tobytes(), self.classes)


def foreign_net_in(net: nn.Module) -> ForeignNet | None:
    """The file that stands in the place of a network's layers; None in one of PyTorch's own."""
    return next((module for module in net.modules() if isinstance(module, ForeignNet)), None)


def input_of(path: Path) -> ForeignInput:
    """What a file takes; raises ModelFileError for no normalised images."""
    guard = Guard()
    described, _ = guard.ask("inspect", [path])
    found = ForeignInput.read(path, described["inputs"], guard.limits)
    if found.dtype == "uint8":
        raise ModelFileError(
            f"{path} takes uint8 pixels and normalises them itself: export the net from normalised float images"
        )
    return found
