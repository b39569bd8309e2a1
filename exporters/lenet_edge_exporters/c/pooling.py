"""Pooling as C, where no convolution before it pools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lenet_edge_exporters.c.constants import Constants, number
from lenet_edge_exporters.c.structures import structure, window_fields
from lenet_edge_exporters.integer_program import pooling


@dataclass(frozen=True)
class MaxPool(pooling.MaxPool):
    """One pass over the windows."""

    kernels: ClassVar[tuple[str, ...]] = ("max_pool",)
    work: ClassVar[int] = 0

    def declare(self, name: str, _constants: Constants) -> str:
        top, left = self.window.pads[:2]
        sizes = [f".rows = {self.window.rows}", f".columns = {self.window.columns}"]
        return structure(
            "lenet_pooling", name, [*window_fields(self.window), f".pad_top = {top}", f".pad_left = {left}", *sizes]
        )

    def call(self, name: str, source: str, target: str) -> str:
        return f"lenet_max_pool(&{name}, {source}, {target});"


@dataclass(frozen=True)
class AveragePool(pooling.AveragePool):
    """One pass over the windows, by a table of what the codes stand for."""

    kernels: ClassVar[tuple[str, ...]] = ("average_pool",)
    work: ClassVar[int] = 0

    def declare(self, name: str, constants: Constants) -> str:
        fields = [
            *window_fields(self.window),
            f".rows = {self.window.rows}",
            f".columns = {self.window.columns}",
            f".output_zero = {self.zero_point}",
            f".output_scale = {number(float(self.scale))}",
            f".values = {constants.array(f'{name}_values', self.values)}",
        ]
        return structure("lenet_averaging", name, fields)

    def call(self, name: str, source: str, target: str) -> str:
        return f"lenet_average_pool(&{name}, {source}, {target});"


@dataclass(frozen=True)
class GlobalAverage(pooling.GlobalAverage):
    """Sums of whole channels, requantized."""

    kernels: ClassVar[tuple[str, ...]] = ("global_average",)
    work: ClassVar[int] = 0

    def declare(self, name: str, _constants: Constants) -> str:
        fields = [
            f".pixels = {self.pixels}",
            f".channels = {self.channels}",
            f".input_zero = {self.input_zero}",
            f".output_zero = {self.output_zero}",
            f".scale = {number(float(self.scale))}",
        ]
        return structure("lenet_global_average", name, fields)

    def call(self, name: str, source: str, target: str) -> str:
        return f"lenet_average_globally(&{name}, {source}, {target});"
