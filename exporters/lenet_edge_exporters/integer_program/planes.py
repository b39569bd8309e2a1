"""Colour images: pixels arrive as planes, as ONNX has them; every later step takes channels last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Interleave:
    """Planes to channels last."""

    channels: int
    pixels: int
    macs: ClassVar[int] = 0

    @property
    def output_size(self) -> int:
        return self.channels * self.pixels
