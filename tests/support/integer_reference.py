"""An int8 file computed with NumPy's integers: the oracle for what onnxruntime makes of it, written from its rules.

A DequantizeLinear says how bytes are to be read and computes nothing; sums are int32; a QuantizeLinear after a sum
requantizes it. Rounding and its order are those of onnxruntime's QLinearConv, QGemm, QLinearSigmoid and
QLinearAveragePool (onnxruntime/core/mlas/lib/quantize.cpp, onnxruntime/contrib_ops/cpu/quantization/).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import numpy_helper

IMAGES_AT_ONCE = 250  # the unfolded images of the first layer take 39 MB then


@dataclass(frozen=True)
class Codes:
    """Integers that stand for scale * (codes - zero_point); a weight has one scale and zero point a channel."""

    codes: np.ndarray  # uint8, or int32 for a bias
    scale: np.ndarray  # float32
    zero_point: np.ndarray

    @property
    def centred(self) -> np.ndarray:
        """codes - zero_point in float64, which is exact for integers up to 2^53 and multiplies by BLAS."""
        per_channel = (-1,) + (1,) * (self.codes.ndim - 1) if self.zero_point.ndim else ()
        return self.codes.astype(np.float64) - self.zero_point.reshape(per_channel)


@dataclass(frozen=True)
class Sums:
    """int32 [n, channels, ...] that stand for scale * sums, one scale a channel."""

    sums: np.ndarray
    scale: np.ndarray  # float32 [channels]

    def times(self, scale: np.ndarray) -> np.ndarray:
        """The sums in float32, each rounded to float32 before it is multiplied."""
        return self.sums.astype(np.float32) * scale.reshape(-1, *(1,) * (self.sums.ndim - 2))


Value = np.ndarray | Codes | Sums


def logits(path: Path, pixels: np.ndarray) -> np.ndarray:
    """The logits, float32 [n, classes], of raw pixels, uint8 [n, c, h, w]."""
    graph = onnx.load(path).graph
    batches = [pixels[i : i + IMAGES_AT_ONCE] for i in range(0, len(pixels), IMAGES_AT_ONCE)]
    return np.concatenate([_run(graph, batch) for batch in batches])


def _run(graph: onnx.GraphProto, pixels: np.ndarray) -> np.ndarray:
    values: dict[str, Value] = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    values["pixels"] = pixels
    for node in graph.node:
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        values[node.output[0]] = OPERATORS[node.op_type](attributes, *(values[name] for name in node.input))
        if node.output[0] == "logits":
            break
    result = values["logits"]
    assert isinstance(result, Sums)
    return result.times(result.scale)


def dequantize(attributes: dict, codes: np.ndarray, scale: np.ndarray, zero_point: np.ndarray | None = None) -> Codes:
    return Codes(codes, scale, np.zeros_like(codes) if zero_point is None else zero_point)


def quantize(attributes: dict, value: Value, scale: np.ndarray, zero_point: np.ndarray) -> np.ndarray:
    """The uint8 codes of a value: rounded half to even, clipped to 0..255."""
    if isinstance(value, Codes):
        assert (value.scale, value.zero_point) == (scale, zero_point)  # pooled or reshaped: the bytes stay
        return value.codes
    if isinstance(value, Sums):
        rounded = np.rint(value.times(value.scale / scale)) + zero_point
    else:
        rounded = np.rint(value / scale + np.float32(zero_point))
    return np.clip(rounded, 0, 255).astype(np.uint8)


def convolve(attributes: dict, images: Codes, weight: Codes, bias: Codes) -> Sums:
    assert attributes.get("group", 1) == 1
    assert {*attributes.get("dilations", [1])} == {1}
    down, across = attributes.get("strides", [1, 1])
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    # Padded by the zero point, that is by zeros once it is taken off.
    padded = np.pad(images.centred, ((0, 0), (0, 0), (top, bottom), (left, right)))
    channels, _, height, width = weight.codes.shape
    windows = sliding_window_view(padded, (height, width), (2, 3))[:, :, ::down, ::across].transpose(0, 2, 3, 1, 4, 5)
    sums = windows.reshape(*windows.shape[:3], -1) @ weight.centred.reshape(channels, -1).T
    return _sums(sums + bias.centred, images, weight, channels_to=1)


def multiply(attributes: dict, rows: Codes, weight: Codes, bias: Codes) -> Sums:
    assert {"alpha": 1, "beta": 1, "transA": 0, **attributes} == {"alpha": 1, "beta": 1, "transA": 0, "transB": 1}
    return _sums(rows.centred @ weight.centred.T + bias.centred, rows, weight, channels_to=1)


def max_pool(attributes: dict, images: Codes | np.ndarray) -> Codes | np.ndarray:
    return _changed(images, lambda codes: _windows(attributes, codes).max((4, 5)))


def relu(attributes: dict, value: Sums) -> Sums:
    return replace(value, sums=np.maximum(value.sums, 0))


def average_pool(attributes: dict, images: Codes) -> np.ndarray:
    """In float32, added row by row from the top left, as QLinearAveragePool does."""
    windows = _windows(attributes, images.scale * images.centred.astype(np.float32))
    flat = windows.reshape(*windows.shape[:4], -1)
    total = np.zeros(flat.shape[:4], np.float32)
    for i in range(flat.shape[4]):
        total += flat[..., i]
    return total / np.float32(flat.shape[4])


def sigmoid(attributes: dict, value: Codes) -> np.ndarray:
    """By a table of 256, as QLinearSigmoid has it.

    Its kernels approximate, each in its own way, but `activations.INPUT_SCALES` keep every entry far from a tie.
    """
    table = 1 / (1 + np.exp(-value.scale.astype(np.float64) * (np.arange(256) - float(value.zero_point))))
    return table.astype(np.float32)[value.codes]


def reshape(attributes: dict, value: Codes | np.ndarray, shape: np.ndarray) -> Codes | np.ndarray:
    return _changed(value, lambda codes: codes.reshape(len(codes), *shape[1:]))


def transpose(attributes: dict, value: Codes | np.ndarray) -> Codes | np.ndarray:
    return _changed(value, lambda codes: codes.transpose(attributes["perm"]))


def pad(attributes: dict, weights: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    return np.pad(weights, amounts.reshape(2, -1).T)


def concatenate(attributes: dict, *weights: np.ndarray) -> np.ndarray:
    return np.concatenate(weights, attributes["axis"])


OPERATORS = {
    "DequantizeLinear": dequantize,
    "QuantizeLinear": quantize,
    "Conv": convolve,
    "Gemm": multiply,
    "Relu": relu,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "Sigmoid": sigmoid,
    "Reshape": reshape,
    "Transpose": transpose,
    "Pad": pad,
    "Concat": concatenate,
}


def _changed(value: Codes | np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> Codes | np.ndarray:
    """Apply a change that moves or picks bytes, whether or not their scale has been read yet."""
    return replace(value, codes=change(value.codes)) if isinstance(value, Codes) else change(value)


def _sums(exact: np.ndarray, inputs: Codes, weight: Codes, channels_to: int) -> Sums:
    assert np.abs(exact).max() < 2**31
    # onnxruntime rounds this product to float32 before it divides by the output's scale.
    return Sums(np.moveaxis(exact, -1, channels_to).astype(np.int32), inputs.scale * weight.scale)


def _windows(attributes: dict, images: np.ndarray) -> np.ndarray:
    """Pooling windows without padding, [n, c, rows, columns, height, width]."""
    assert not any(attributes.get("pads", []))
    assert not attributes.get("ceil_mode", 0)
    down, across = attributes["strides"]
    return sliding_window_view(images, attributes["kernel_shape"], (2, 3))[:, :, ::down, ::across]
