"""Colour images as C: planes to channels last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lenet_edge_exporters.c.constants import Constants
from lenet_edge_exporters.c.structures import structure
from lenet_edge_exporters.integer_program import planes


@dataclass(frozen=True)
class OneMore(planes.OneMore):
    """One call that copies the pixels with the code between them."""

    kernels: ClassVar[tuple[str, ...]] = ("one_more",)
    work: ClassVar[int] = 0

    def declare(self, name: str, _constants: Constants) -> str:
        fields = [f".pixels = {self.pixels}", f".channels = {self.channels}", f".code = {self.code}"]
        return structure("lenet_widening", name, fields)

    def call(self, name: str, source: str, target: str) -> str:
        return f"lenet_widen_pixels(&{name}, {source}, {target});"


@dataclass(frozen=True)
class Interleave(planes.Interleave):
    """One call that copies the pixels."""

    kernels: ClassVar[tuple[str, ...]] = ("interleave",)
    work: ClassVar[int] = 0

    def declare(self, name: str, _constants: Constants) -> str:
        return structure("lenet_planes", name, [f".pixels = {self.pixels}", f".channels = {self.channels}"])

    def call(self, name: str, source: str, target: str) -> str:
        return f"lenet_interleave(&{name}, {source}, {target});"
