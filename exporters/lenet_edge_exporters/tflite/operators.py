"""The table of steps: how each integer step is written as TFLite operators, https://ai.google.dev/edge/litert.

TFLite's codes are int8 where ours are uint8: 128 less, with a zero point 128 less. Kernels that compute as onnxruntime
does (XNNPACK: one multiplication in float32, half to even) then give the same codes bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.integer_program.convolution import Convolution
from lenet_edge_exporters.integer_program.dense import Dense
from lenet_edge_exporters.integer_program.planes import Interleave
from lenet_edge_exporters.integer_program.pooling import MaxPool
from lenet_edge_exporters.integer_program.program import Step, UnsupportedError
from lenet_edge_exporters.integer_program.sums import Sums
from lenet_edge_exporters.tflite.model import Codes, ModelWriter, Shape
from lenet_edge_exporters.tflite.windows import implied_padding, padded, pool_of, steps_of

VERSIONS = {
    "QUANTIZE": 2, "DEQUANTIZE": 2, "CONV_2D": 3, "MAX_POOL_2D": 2, "PAD": 2, "RESHAPE": 1, "FULLY_CONNECTED": 12,
}  # fmt: skip
SIGNED = 128  # what int8 codes and zero points are less than uint8 ones


def write(step: Step, writer: ModelWriter, source: int, codes: Codes, number: int) -> tuple[int, Codes]:
    """Append the operators of one step that reads tensor `source`, which holds `codes`; return the same of its result.

    Raises UnsupportedError, which names the step, for one that TFLite has no operator for.
    """
    if type(step) not in STEPS:
        raise UnsupportedError(
            f"the TFLite export has no {type(step).__name__}: TFLite's own rounds otherwise; "
            f"it has {', '.join(kind.__name__ for kind in STEPS)}; export this net as int8 ONNX or c"
        )
    return STEPS[type(step)](step, writer, source, codes, f"{type(step).__name__.lower()}{number}")


def _convolve(step: Convolution, writer: ModelWriter, source: int, codes: Codes, name: str) -> tuple[int, Codes]:
    _check_scale(step.sums, codes, name)
    source, padding = padded(step.window, writer, source, codes, name)
    target = _codes_of(step.sums, (step.window.rows, step.window.columns, len(step.weights)))
    inputs = [source, *_constants(step.weights, step.sums, writer, name)]
    options = steps_of(step.window, padding)
    return writer.operator("CONV_2D", inputs, name, target, "Conv2DOptions", options), target


def _multiply(step: Dense, writer: ModelWriter, source: int, codes: Codes, name: str) -> tuple[int, Codes]:
    _check_scale(step.sums, codes, name)
    inputs = int(step.weights.shape[1])
    if codes.shape != (inputs,):
        row = Codes((inputs,), codes.scale, codes.zero_point)
        shape = writer.constant(f"{name}_shape", np.array([-1, inputs], np.int32))
        options = {"newShape": [-1, inputs]}
        source = writer.operator("RESHAPE", [source, shape], f"{name}_row", row, "ReshapeOptions", options)
    target = _codes_of(step.sums, (len(step.weights),))
    operands = [source, *_constants(step.weights, step.sums, writer, name)]
    return writer.operator("FULLY_CONNECTED", operands, name, target, "FullyConnectedOptions", {}), target


def _max_pool(step: MaxPool, writer: ModelWriter, source: int, codes: Codes, name: str) -> tuple[int, Codes]:
    window = step.window
    padding = implied_padding(window)
    if padding is None:
        raise UnsupportedError(
            f"the TFLite export has no MaxPool with pads {list(window.pads)}, as {name} has; "
            f"export this net as int8 ONNX or c"
        )
    target = Codes((window.rows, window.columns, window.channels), codes.scale, codes.zero_point)
    options = pool_of(window, padding)
    return writer.operator("MAX_POOL_2D", [source], name, target, "Pool2DOptions", options), target


def _interleave(_step: Interleave, _writer: ModelWriter, source: int, codes: Codes, _name: str) -> tuple[int, Codes]:
    """The file takes pixels channels last from the first."""
    return source, codes


STEPS: dict[type, Callable[..., tuple[int, Codes]]] = {
    Interleave: _interleave,
    Convolution: _convolve,
    MaxPool: _max_pool,
    Dense: _multiply,
}


def _constants(weights: NDArray[np.int8], sums: Sums, writer: ModelWriter, name: str) -> tuple[int, int]:
    """Weights with a scale for each output, and the bias, from which kernels take the input's zero point themselves."""
    flat = weights.reshape(len(weights), -1).astype(np.int64)
    bias = (sums.bias + sums.input_zero * flat.sum(1)).astype(np.int32)
    scales = sums.weight_scale
    return (
        writer.constant(f"{name}_weights", weights, scales),
        writer.constant(f"{name}_bias", bias, (sums.input_scale * scales).astype(np.float32)),
    )


def _codes_of(sums: Sums, shape: Shape) -> Codes:
    assert sums.output_scale is not None
    assert sums.output_zero is not None
    return Codes(shape, float(sums.output_scale), sums.output_zero - SIGNED)


def _check_scale(sums: Sums, codes: Codes, name: str) -> None:
    """Refuse codes that are read by another scale than they were written with, as between a tanh and its sigmoid."""
    stated: tuple[Any, ...] = (float(sums.input_scale), sums.input_zero - SIGNED)
    if stated != (codes.scale, codes.zero_point):
        raise UnsupportedError(
            f"the TFLite export has no codes of two scales, as {name} reads (behind a tanh, for instance); "
            f"export this net as int8 ONNX or c"
        )
