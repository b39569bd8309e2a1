"""Convolution as C, with a table of an activation function and 2 x 2 pooling where they follow at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.c.constants import Constants, number
from lenet_edge_exporters.c.structures import padded, structure, window_fields
from lenet_edge_exporters.c.sums import sums_fields
from lenet_edge_exporters.integer_program import convolution
from lenet_edge_exporters.integer_program.program import Scale

LANES = 16  # values that the widest kernel takes from a row of weights at a time
ROW = 8  # 16-bit numbers that a vector of a compiler's own making holds
POOLINGS = {"max": "LENET_MAX_2X2", "average": "LENET_AVERAGE_2X2", None: "LENET_NO_POOLING"}


@dataclass(frozen=True)
class Average:
    """2 x 2 average pooling: the number that each code stands for, and how the mean becomes a code again."""

    values: NDArray[np.float32]
    scale: Scale
    zero_point: int


@dataclass(frozen=True)
class Convolution(convolution.Convolution):
    """Sums of products over a window of codes, requantized; then a table, then pooling, where there are any."""

    table: NDArray[np.uint8] | None = None
    max_2x2: bool = False
    average: Average | None = None
    kernels: ClassVar[tuple[str, ...]] = ("requantize", "dot", "dot4", "convolution")

    @property
    def pooled(self) -> bool:
        return self.max_2x2 or self.average is not None

    @property
    def output_size(self) -> int:
        shrink = 2 if self.pooled else 1
        return len(self.weights) * (self.window.rows // shrink) * (self.window.columns // shrink)

    @property
    def work(self) -> int:
        window = self.window
        high = (window.strides[0] if self.pooled else 0) + window.kernel[0]
        row = ((window.columns - 1) * window.strides[1] + window.kernel[1]) * window.channels
        strip = max(row + 1, (row + 8) // 2)  # with what the last lane reads behind it: 1 of 16 bits, or up to 7 of 8
        patches = 4 * int(self._rows().shape[1])
        return max(4 * int(self._tight().shape[1]), patches + high * self._stride, high * strip)

    @property
    def _stride(self) -> int:
        """Of a strip of the input's rows in 16 bits, from which windows of short rows are taken; 0: none."""
        window = self.window
        if window.kernel[1] * window.channels > ROW:
            return 0
        return (window.columns - 1) * window.strides[1] * window.channels + ROW

    def declare(self, name: str, constants: Constants) -> str:
        tight, rows = self._tight(), self._rows()
        constants.alternatives(
            {
                "LENET_DOT_PRODUCT": (f"{name}_packed", self._packed(4, 8)),
                "LENET_VNNI": (f"{name}_packed", self._packed(4)),
                "LENET_AVX2": (f"{name}_packed", self._packed(2).astype(np.int16)),
                "LENET_WHOLE_ROWS": (f"{name}_rows", rows),
            },
            (f"{name}_weights", tight),
        )
        fields = [
            *window_fields(self.window),
            f".pad_top = {self.window.pads[0]}",
            f".pad_left = {self.window.pads[1]}",
            f".rows = {self.window.rows}",
            f".columns = {self.window.columns}",
            f".filters = {len(self.weights)}",
            f".pooling = {POOLINGS['average' if self.average else 'max' if self.max_2x2 else None]}",
            f".input_zero = {self.sums.input_zero}",
            *sums_fields(self.sums, name, constants, self.weights),
        ]
        if self.table is not None and not self.average:
            fields.append(f".table = {constants.array(f'{name}_table', self.table)}")
        if self.average:
            values = self.average.values if self.table is None else self.average.values[self.table]
            fields += [
                f".pooled_zero = {self.average.zero_point}",
                f".pooled_scale = {number(float(self.average.scale))}",
                f".values = {constants.array(f'{name}_values', values)}",
            ]
        length = self.weights.shape[2] * self.weights.shape[3]
        whole = length + -length % ROW
        chosen = (
            f"#if LENET_EIGHT\n    .packed = {name}_packed,\n#elif LENET_WHOLE_ROWS\n"
            f"    .strip = {self._stride},\n    .row = {whole},\n    .pitch = {rows.shape[1]},\n"
            f"    .weights = {name}_rows,\n#else\n    .row = {length},\n    .pitch = {tight.shape[1]},\n"
            f"    .weights = {name}_weights,\n#endif\n"
        )
        return structure("lenet_convolution", name, fields).replace("};\n", chosen + "};\n")

    def call(self, name: str, source: str, target: str) -> str:
        return f"lenet_convolve(&{name}, {source}, {target}, scratch->work.numbers);"

    def _tight(self) -> NDArray[np.int8]:
        """The weights as NEON, DSP and processors without vectors take them: a window without gaps, zeros behind it."""
        return padded(self.weights.reshape(len(self.weights), -1), LANES)

    def _rows(self) -> NDArray[np.int16]:
        """The weights as compilers make vectors of them: every row of a window ends in zeros."""
        filters, height = self.weights.shape[:2]
        return padded(self.weights.reshape(filters, height, -1), ROW).reshape(filters, -1).astype(np.int16)

    def _packed(self, lane: int, row: int = 1) -> NDArray[np.int8]:
        """The weights of eight filters side by side, `lane` of a window's row in a lane of 32 bits.

        2 for AVX2, 4 for VNNI and ARM's dot product. Zeros fill a row to a multiple of `lane`, and of `row`.
        """
        filters, height = self.weights.shape[:2]
        rows = padded(self.weights.reshape(filters, height, -1), max(lane, row))
        blocks = np.pad(rows, ((0, -filters % 8), (0, 0), (0, 0))).reshape(-1, 8, height, rows.shape[2] // lane, lane)
        return np.ascontiguousarray(blocks.transpose(0, 2, 3, 1, 4))
