"""Steps that bring two values together: https://onnx.ai/onnx/operators/onnx__Add.html and Concat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.integer_program.lookup import as_codes
from lenet_edge_exporters.integer_program.pooling import numbers_of
from lenet_edge_exporters.integer_program.program import Codes, Node, Scale, Step, Unrounded


@dataclass(frozen=True)
class Addition:
    """The sum of two tensors of codes: round(first * factor + second[code]), rounded to float32 once before that.

    onnxruntime's kernel (MlasQLinearAdd) with fused multiplications, as it runs on processors that have them.
    """

    size: int
    factor: Scale  # of the first tensor's codes
    second: NDArray[np.float32]  # what a code of the second tensor adds, all zero points included
    macs: ClassVar[int] = 0

    @property
    def output_size(self) -> int:
        return self.size


@dataclass(frozen=True)
class Concatenation:
    """The channels of images of one size, one image's after another's; of each a table of its codes, if they change."""

    pixels: int
    channels: tuple[int, ...]
    tables: tuple[NDArray[np.uint8] | None, ...]
    macs: ClassVar[int] = 0

    @property
    def output_size(self) -> int:
        return self.pixels * sum(self.channels)


def read_add(node: Node) -> Unrounded:
    """Add of two tensors of codes of one shape."""
    first, second = _both(node)
    if first.shape != second.shape or first.flattened != second.flattened:
        raise node.refuse(f"of tensors of shapes {first.shape} and {second.shape}")

    def quantized(scale: Scale, zero_point: int) -> Step:
        ratios = np.float32(first.scale / scale), np.float32(second.scale / scale)
        offsets = _fused(ratios[0], np.float32(first.zero_point), ratios[1] * np.float32(second.zero_point))
        start = np.float32(zero_point) - offsets
        added = _fused(np.arange(256, dtype=np.float32), ratios[1], start)
        return Addition(int(np.prod(first.shape)), ratios[0], added)

    return Unrounded(first.shape, quantized)


def read_concat(node: Node) -> Unrounded:
    """Concat of the channels of images of one size."""
    parts = [part for part in node.inputs if isinstance(part, Codes) and len(part.shape) == 3 and not part.flattened]
    node.require("axis", 1, -3)
    sizes = {part.shape[1:] for part in parts}
    if len(parts) != len(node.inputs) or len(sizes) != 1:
        raise node.refuse("of anything but images of one size")
    ((height, width),) = sizes

    def quantized(scale: Scale, zero_point: int) -> Step:
        tables = [
            None
            if (part.scale, part.zero_point) == (scale, zero_point)
            else as_codes(numbers_of(part), scale, zero_point)
            for part in parts
        ]
        return Concatenation(height * width, tuple(part.shape[0] for part in parts), tuple(tables))

    return Unrounded((sum(part.shape[0] for part in parts), height, width), quantized)


def _both(node: Node) -> tuple[Codes, Codes]:
    first, second = node.inputs
    if not isinstance(first, Codes) or not isinstance(second, Codes):
        raise node.refuse("on values that are not 8-bit codes")
    return first, second


def _fused(a: NDArray[np.float32] | Scale, b: Scale, c: NDArray[np.float32] | Scale) -> NDArray[np.float32]:
    """a * b + c, rounded to float32 once: products of 24 bits are exact in float64."""
    return np.asarray(np.float64(a) * np.float64(b) + np.float64(c)).astype(np.float32)
