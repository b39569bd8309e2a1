"""What a layer sums over, row by row: the windows of a convolution, the inputs of a dense layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters import folding

if TYPE_CHECKING:
    import onnx

MOST = 20_000  # rows that are looked at, drawn with seed 0
AT_A_TIME = 4096


def windows_of(layer: onnx.NodeProto, inputs: NDArray[Any], kernel: tuple[int, ...]) -> NDArray[Any]:
    """The windows of a convolution, a view [n, positions..., channels, kernel...] of its inputs [n, channels, ...].

    The inputs themselves, [..., inputs], of a dense layer, which has no kernel.
    """
    if not kernel:
        return inputs
    attributes = folding.attributes_of(layer)
    strides, dilations = (attributes.get(name, [1] * len(kernel)) for name in ("strides", "dilations"))
    reaches = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    padded = np.pad(inputs, [(0, 0), (0, 0), *_pads(attributes, inputs.shape[2:], reaches, strides)])
    every = np.lib.stride_tricks.sliding_window_view(padded, reaches, axis=tuple(range(2, 2 + len(kernel))))
    apart = (slice(None, None, step) for step in (*strides, *dilations))
    return np.moveaxis(every[(slice(None), slice(None), *apart)], 1, 1 + len(kernel))


def products_of(rows: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """X'X, [inputs + 1, inputs + 1], of rows [..., *shape] as X [n, inputs + 1], whose last column is 1.

    Exact for whole numbers, so that it depends on no order of adding.
    """
    places = rows.shape[: rows.ndim - len(shape)]
    count, size = math.prod(places), math.prod(shape)
    generator = np.random.default_rng(0)
    drawn = np.arange(count) if count <= MOST else np.sort(generator.integers(count, size=MOST))
    products = np.zeros((size + 1, size + 1))
    for part in np.array_split(drawn, math.ceil(len(drawn) / AT_A_TIME)):
        x = np.ones((len(part), size + 1))
        x[:, :-1] = rows[np.unravel_index(part, places)].reshape(len(part), size)
        products += x.T @ x
    return products


def _pads(
    attributes: dict[str, Any], sizes: tuple[int, ...], reaches: list[int], strides: list[int]
) -> list[tuple[int, int]]:
    """What a convolution pads before and after each axis (the ONNX operator's page on auto_pad)."""
    kind = attributes.get("auto_pad", b"NOTSET")
    if kind in (b"NOTSET", b"VALID"):
        pads = attributes.get("pads", [0, 0] * len(sizes))
        return list(zip(pads[: len(sizes)], pads[len(sizes) :], strict=True))
    found = []
    for size, reach, stride in zip(sizes, reaches, strides, strict=True):
        both = max((math.ceil(size / stride) - 1) * stride + reach - size, 0)
        less, more = both // 2, both - both // 2
        found.append((less, more) if kind == b"SAME_UPPER" else (more, less))
    return found
