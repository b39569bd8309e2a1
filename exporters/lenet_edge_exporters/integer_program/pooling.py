"""Pooling: https://onnx.ai/onnx/operators/onnx__MaxPool.html and AveragePool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.integer_program.program import Codes, Node, Scale, Step, Unrounded, Window, window_of


@dataclass(frozen=True)
class MaxPool:
    """The greatest code of every window."""

    window: Window
    macs: ClassVar[int] = 0

    @property
    def output_size(self) -> int:
        return self.window.channels * self.window.rows * self.window.columns


@dataclass(frozen=True)
class AveragePool:
    """The mean of every window, in float32 as onnxruntime computes it: `values` are what the codes stand for."""

    window: Window
    values: NDArray[np.float32]
    scale: Scale
    zero_point: int
    macs: ClassVar[int] = 0

    @property
    def output_size(self) -> int:
        return self.window.channels * self.window.rows * self.window.columns


@dataclass(frozen=True)
class GlobalAverage:
    """The mean of every channel: integer sums of the codes, requantized."""

    channels: int
    pixels: int
    input_zero: int
    scale: Scale  # input scale / (output scale * pixels)
    output_zero: int
    macs: ClassVar[int] = 0

    @property
    def output_size(self) -> int:
        return self.channels


def read_global_average(node: Node) -> Unrounded:
    """GlobalAveragePool: the scale is rounded as onnxruntime does (MlasQLinearGlobalAveragePool)."""
    image = node.image()
    channels, height, width = image.shape
    pixels = height * width

    def quantized(scale: Scale, zero_point: int) -> Step:
        factor = np.float32(image.scale / np.float32(scale * np.float32(pixels)))
        return GlobalAverage(channels, pixels, image.zero_point, factor, zero_point)

    return Unrounded((channels, 1, 1), quantized)


def read_max(node: Node) -> tuple[Step, Codes]:
    """MaxPool: the codes keep their scale."""
    image = node.image()
    window = _window(node, image)
    node.require("dilations", [1, 1])
    return MaxPool(window), Codes((image.shape[0], window.rows, window.columns), image.scale, image.zero_point)


def read_average(node: Node) -> Unrounded:
    """AveragePool without padding, whose mean is requantized."""
    image = node.image()
    window = _window(node, image)
    node.require("dilations", [1, 1])
    if any(window.pads):
        raise node.refuse("with padding")
    if window.kernel == image.shape[1:]:
        return read_global_average(node)  # onnxruntime computes it so
    values = numbers_of(image)

    def quantized(scale: Scale, zero_point: int) -> Step:
        return AveragePool(window, values, scale, zero_point)

    return Unrounded((image.shape[0], window.rows, window.columns), quantized)


def numbers_of(codes: Codes) -> NDArray[np.float32]:
    """What each of the 256 codes stands for, in float32."""
    centred = (np.arange(256) - codes.zero_point).astype(np.float32)
    return codes.scale * centred


def _window(node: Node, image: Codes) -> Window:
    node.require("ceil_mode", 0)
    node.require("storage_order", 0)
    return window_of(node, image, node.pair("kernel_shape"))
