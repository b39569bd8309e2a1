"""Grouped, depthwise and dilated convolution as C, with the table of an activation function where that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.c.constants import Constants
from lenet_edge_exporters.c.structures import structure, window_fields
from lenet_edge_exporters.c.sums import sums_fields
from lenet_edge_exporters.integer_program import convolution


@dataclass(frozen=True)
class GroupedConvolution(convolution.GroupedConvolution):
    """Sums of products over a window of some channels, requantized; then a table, if there is one. Plain C."""

    table: NDArray[np.uint8] | None = None
    kernels: ClassVar[tuple[str, ...]] = ("grouped_convolution",)
    work: ClassVar[int] = 0

    def declare(self, name: str, constants: Constants) -> str:
        window = self.window
        fields = [
            *window_fields(window),
            f".pad_top = {window.pads[0]}",
            f".pad_left = {window.pads[1]}",
            f".dilation_y = {window.dilations[0]}",
            f".dilation_x = {window.dilations[1]}",
            f".rows = {window.rows}",
            f".columns = {window.columns}",
            f".filters = {len(self.weights)}",
            f".groups = {self.groups}",
            f".input_zero = {self.sums.input_zero}",
            f".weights = {constants.array(f'{name}_weights', self.weights)}",
            *sums_fields(self.sums, name, constants),
        ]
        if self.table is not None:
            fields.append(f".table = {constants.array(f'{name}_table', self.table)}")
        return structure("lenet_grouped", name, fields)

    def call(self, name: str, source: str, target: str) -> str:
        return f"lenet_convolve_groups(&{name}, {source}, {target});"
