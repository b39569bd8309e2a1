"""What surrounds the images that windows slide over: TFLite has two words for it, and an operator for the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from lenet_edge_exporters.integer_program.program import Window
from lenet_edge_exporters.tflite.model import Codes, ModelWriter, Numbers

Content = TypeVar("Content", Codes, Numbers)

SAME, VALID = 0, 1  # of the schema's Padding


def implied_padding(window: Window) -> int | None:
    """TFLite's word for a window's padding: SAME (half of what is missing before, the rest behind), VALID, or None."""
    if not any(window.pads):
        return VALID
    sizes = [window.height, window.width]
    reach = [(kernel - 1) * gap + 1 for kernel, gap in zip(window.kernel, window.dilations, strict=True)]
    missing = [
        max((-(-size // stride) - 1) * stride + kernel - size, 0)
        for size, stride, kernel in zip(sizes, window.strides, reach, strict=True)
    ]
    same = tuple(part // 2 for part in missing) + tuple(part - part // 2 for part in missing)
    return SAME if window.pads == same else None


def steps_of(window: Window, padding: int) -> dict[str, int]:
    """The options of an operator that slides a window: how far from place to place, and the word for its padding."""
    return {"padding": padding, "strideH": window.strides[0], "strideW": window.strides[1]}


def pool_of(window: Window, padding: int) -> dict[str, int]:
    """The options of an operator that pools."""
    return {**steps_of(window, padding), "filterHeight": window.kernel[0], "filterWidth": window.kernel[1]}


def padded(window: Window, writer: ModelWriter, source: int, content: Content, name: str) -> tuple[int, int]:
    """The tensor that a window slides over, and its word for padding: zeros that no word says are a PAD."""
    padding = implied_padding(window)
    if padding is not None:
        return source, padding
    return pad(window, writer, source, content, name), VALID


def pad(window: Window, writer: ModelWriter, source: int, content: Content, name: str, level: float = 0.0) -> int:
    """Surround images by what a window asks: by zeros, or by another number, which only float32 images can have."""
    top, left, bottom, right = window.pads
    inputs = [
        source,
        writer.constant(f"{name}_pads", np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)),
    ]
    if level:
        inputs.append(writer.constant(f"{name}_level", np.array([level], np.float32)))
    shape = (window.height + top + bottom, window.width + left + right, window.channels)
    kind, options = ("PADV2", "PadV2Options") if level else ("PAD", "PadOptions")
    return writer.operator(kind, inputs, f"{name}_padded", replace(content, shape=shape), options, {})
