"""Colour images: pixels arrive as planes, as ONNX has them; the kernels take channels last."""

from __future__ import annotations

from dataclasses import dataclass

from lenet_edge_exporters.c.constants import Constants
from lenet_edge_exporters.c.program import structure


@dataclass(frozen=True)
class Interleave:
    """Planes to channels last."""

    channels: int
    pixels: int
    kernels = ("interleave",)
    macs = 0
    work = 0

    @property
    def output_size(self) -> int:
        return self.channels * self.pixels

    def declare(self, name: str, constants: Constants) -> str:
        return structure("lenet_planes", name, [f".pixels = {self.pixels}", f".channels = {self.channels}"])

    def call(self, name: str, source: str, target: str) -> str:
        return f"lenet_interleave(&{name}, {source}, {target});"
