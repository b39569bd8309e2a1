"""Dense layers as C, with the table of an activation function where that follows at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.c.constants import Constants
from lenet_edge_exporters.c.structures import padded, structure
from lenet_edge_exporters.c.sums import sums_fields
from lenet_edge_exporters.integer_program import dense

LANES = 16  # values that the widest kernel takes from a row of weights at a time


@dataclass(frozen=True)
class Dense(dense.Dense):
    """Sums of products of all codes, requantized and looked up in a table if there is one; or logits."""

    table: NDArray[np.uint8] | None = None

    @property
    def is_last(self) -> bool:
        return self.sums.output_zero is None

    @property
    def kernels(self) -> tuple[str, ...]:
        return ("dot", "dense", "dense_logits") if self.is_last else ("requantize", "dot", "dense", "dense_codes")

    @property
    def work(self) -> int:
        inputs = int(self.weights.shape[1])
        return inputs + -inputs % LANES

    def declare(self, name: str, constants: Constants) -> str:
        rows = padded(self.weights, LANES)
        fields = [
            f".inputs = {self.weights.shape[1]}",
            f".outputs = {len(self.weights)}",
            f".pitch = {rows.shape[1]}",
            f".weights = {constants.array(f'{name}_weights', rows)}",
            *sums_fields(self.sums, name, constants, self.weights),
        ]
        if self.table is not None:
            fields.append(f".table = {constants.array(f'{name}_table', self.table)}")
        return structure("lenet_dense", name, fields)

    def call(self, name: str, source: str, target: str) -> str:
        kernel = "lenet_multiply_last" if self.is_last else "lenet_multiply"
        return f"{kernel}(&{name}, {source}, {target}, scratch->work.numbers);"
