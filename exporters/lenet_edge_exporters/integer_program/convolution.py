"""Convolution: https://onnx.ai/onnx/operators/onnx__Conv.html."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.integer_program.program import Node, Scale, Step, Stored, Unrounded, Window, window_of
from lenet_edge_exporters.integer_program.sums import Sums, sums_of


@dataclass(frozen=True)
class Convolution:
    """Sums of products over a window of codes, requantized."""

    window: Window
    weights: NDArray[np.int8]  # [filters, kernel height, kernel width, channels]
    sums: Sums

    @property
    def output_size(self) -> int:
        return len(self.weights) * self.window.rows * self.window.columns

    @property
    def macs(self) -> int:
        return int(self.weights.size) * self.window.rows * self.window.columns


@dataclass(frozen=True)
class GroupedConvolution:
    """The same with weights for some of the channels each, or with gaps between a window's pixels."""

    window: Window
    weights: NDArray[np.int8]  # [filters, kernel height, kernel width, channels of a group]
    sums: Sums
    groups: int

    @property
    def output_size(self) -> int:
        return len(self.weights) * self.window.rows * self.window.columns

    @property
    def macs(self) -> int:
        return int(self.weights.size) * self.window.rows * self.window.columns


def read(node: Node) -> Unrounded:
    """Conv on codes, with constant weights and bias."""
    image = node.image()
    weight = node.inputs[1]
    if not isinstance(weight, Stored):
        raise node.refuse("with weights that are not constant")
    groups = int(node.attributes.get("group", 1))
    kernel = (int(weight.codes.shape[2]), int(weight.codes.shape[3]))
    window = window_of(node, image, kernel)
    sums = sums_of(node, image, weight)

    def quantized(scale: Scale, zero_point: int) -> Step:
        weights = weight.centred.transpose(0, 2, 3, 1).astype(np.int8)
        if groups != 1 or window.dilations != (1, 1):
            return GroupedConvolution(window, weights, sums.quantized(scale, zero_point), groups)
        return Convolution(window, weights, sums.quantized(scale, zero_point))

    return Unrounded((len(weight.codes), window.rows, window.columns), quantized)
