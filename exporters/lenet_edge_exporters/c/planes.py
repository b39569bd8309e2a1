"""Colour images: pixels arrive as planes, as ONNX has them; the kernels take channels last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lenet_edge_exporters.c.constants import Constants
from lenet_edge_exporters.c.program import structure


@dataclass(frozen=True)
class Interleave:
    """Planes to channels last."""

    channels: int
    pixels: int
    kernels: ClassVar[tuple[str, ...]] = ("interleave",)
    macs: ClassVar[int] = 0
    work: ClassVar[int] = 0

    @property
    def output_size(self) -> int:
        return self.channels * self.pixels

    def declare(self, name: str, _constants: Constants) -> str:
        return structure("lenet_planes", name, [f".pixels = {self.pixels}", f".channels = {self.channels}"])

    def call(self, name: str, source: str, target: str) -> str:
        return f"lenet_interleave(&{name}, {source}, {target});"
