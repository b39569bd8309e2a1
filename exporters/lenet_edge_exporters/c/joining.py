"""Sums of two values, and channels side by side, as C."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lenet_edge_exporters.c.constants import Constants, number
from lenet_edge_exporters.c.structures import structure
from lenet_edge_exporters.integer_program import joining


@dataclass(frozen=True)
class Addition(joining.Addition):
    """One pass over two tensors."""

    kernels: ClassVar[tuple[str, ...]] = ("add",)
    work: ClassVar[int] = 0

    def declare(self, name: str, constants: Constants) -> str:
        second = constants.array(f"{name}_second", self.second)
        fields = [f".count = {self.size}", f".factor = {number(float(self.factor))}", f".second = {second}"]
        return structure("lenet_addition", name, fields)

    def call(self, name: str, source: str, target: str) -> str:
        return f"lenet_add(&{name}, {source}, {target});"


@dataclass(frozen=True)
class Concatenation(joining.Concatenation):
    """One pass over each image."""

    kernels: ClassVar[tuple[str, ...]] = ("concatenate",)
    work: ClassVar[int] = 0

    def declare(self, name: str, constants: Constants) -> str:
        parts = []
        for number_of_part, (channels, table) in enumerate(zip(self.channels, self.tables, strict=True)):
            before = sum(self.channels[:number_of_part])
            fields = [f".pixels = {self.pixels}", f".channels = {channels}", f".before = {before}"]
            fields.append(f".all = {sum(self.channels)}")
            if table is not None:
                fields.append(f".table = {constants.array(f'{name}_table{number_of_part}', table)}")
            parts.append(structure("lenet_part", f"{name}_{number_of_part}", fields))
        return "\n".join(parts)

    def call(self, name: str, source: str, target: str) -> str:
        sources = source.split(", ")
        calls = [f"lenet_place(&{name}_{part}, {item}, {target});" for part, item in enumerate(sources)]
        return "\n    ".join(calls)
