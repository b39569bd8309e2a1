"""Colour images: pixels arrive as planes, as ONNX has them; every later step takes channels last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lenet_edge_exporters.integer_program.program import Codes, Node


@dataclass(frozen=True)
class OneMore:
    """One more channel, which has the same code everywhere (`border`)."""

    channels: int  # before
    pixels: int
    code: int
    macs: ClassVar[int] = 0

    @property
    def output_size(self) -> int:
        return (self.channels + 1) * self.pixels


def read_pad(node: Node) -> tuple[OneMore, Codes]:
    """Pad of the codes of pixels by one channel."""
    image, (amounts, level) = node.image(), node.inputs[1:3]
    one_more = isinstance(amounts, np.ndarray) and amounts.tolist() == [0, 0, 0, 0, 0, 1, 0, 0]
    if not one_more or not isinstance(level, np.ndarray):
        raise node.refuse("but by the convolution that follows")
    channels, height, width = image.shape
    step = OneMore(channels, height * width, int(level.item()))
    return step, Codes((channels + 1, height, width), image.scale, image.zero_point)


@dataclass(frozen=True)
class Interleave:
    """Planes to channels last."""

    channels: int
    pixels: int
    macs: ClassVar[int] = 0

    @property
    def output_size(self) -> int:
        return self.channels * self.pixels
