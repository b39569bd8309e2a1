"""Tables of 256 codes as C, where no layer before them looks them up itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lenet_edge_exporters.c.constants import Constants
from lenet_edge_exporters.c.structures import structure
from lenet_edge_exporters.integer_program import lookup


@dataclass(frozen=True)
class Lookup(lookup.Lookup):
    """One pass over the codes."""

    kernels: ClassVar[tuple[str, ...]] = ("lookup",)
    work: ClassVar[int] = 0

    def declare(self, name: str, constants: Constants) -> str:
        table = constants.array(f"{name}_table", self.table)
        return structure("lenet_table", name, [f".count = {self.size}", f".table = {table}"])

    def call(self, name: str, source: str, target: str) -> str:
        return f"lenet_look_up(&{name}, {source}, {target});"


@dataclass(frozen=True)
class Decode(lookup.Decode):
    """One pass over the codes, to logits."""

    kernels: ClassVar[tuple[str, ...]] = ("decode",)
    work: ClassVar[int] = 0

    def declare(self, name: str, constants: Constants) -> str:
        values = constants.array(f"{name}_values", self.values)
        return structure("lenet_decoding", name, [f".count = {self.size}", f".values = {values}"])

    def call(self, name: str, source: str, target: str) -> str:
        return f"lenet_decode(&{name}, {source}, {target});"
