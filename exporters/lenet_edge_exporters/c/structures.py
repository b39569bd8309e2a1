"""What the C text of every step is made of: structures, windows, rows padded to whole vectors."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.c.constants import Constants
from lenet_edge_exporters.integer_program.program import Window


class Step(Protocol):
    """An integer step as C: one kernel's call with its constants."""

    @property
    def kernels(self) -> tuple[str, ...]:
        """Files of C that it needs."""

    @property
    def output_size(self) -> int:
        """Values that it writes: codes, a byte each, or logits."""

    @property
    def macs(self) -> int:
        """Multiplications of one image."""

    @property
    def work(self) -> int:
        """16-bit numbers of scratch that it needs besides input and output."""

    def declare(self, name: str, constants: Constants, /) -> str:
        """Declare its arrays; return the C text of what `call` refers to."""

    def call(self, name: str, source: str, target: str) -> str:
        """The C statements that run it; several sources stand side by side with commas between."""


def window_fields(window: Window) -> list[str]:
    """The initializers that all structures with a window begin with; no padding for average pooling."""
    values = [window.height, window.width, window.channels, *window.kernel, *window.strides]
    names = ["height", "width", "channels", "kernel_height", "kernel_width", "stride_y", "stride_x"]
    return [f".{name} = {value}" for name, value in zip(names, values, strict=True)]


def structure(c_type: str, name: str, fields: list[str]) -> str:
    """A constant of one of the kernels' types."""
    return f"static const {c_type} {name} = {{\n    " + ",\n    ".join(fields) + ",\n};\n"


def padded(values: NDArray[Any], multiple: int) -> NDArray[Any]:
    """Values with zeros after the last axis up to a multiple."""
    missing = -values.shape[-1] % multiple
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, missing)])
