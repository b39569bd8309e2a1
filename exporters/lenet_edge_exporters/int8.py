"""Static int8 ONNX with onnxruntime's quantizer, in the form that gives the same answers on every CPU.

uint8 activations and symmetric uint8 weights per channel (zero point 128: int8 weights in disguise). With them no
kernel can saturate: onnxruntime's default (signed weights) runs through x86's VPMADDUBSW, whose 16-bit sums clip on
machines without VNNI, and answers differently there. The pixels are the quantized input (scale 1, zero point 0),
and the logits stay in float. tanh becomes a sigmoid, which has an integer kernel (`activations`).
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters import activations, executed, folding
from lenet_edge_exporters.job import ExportJob
from lenet_edge_exporters.onnx import INPUT, OUTPUT, build, serialise

if TYPE_CHECKING:
    import onnx


def export(job: ExportJob) -> bytes:
    """The network with weights and activations in 8 bits, calibrated on the job's training images (min and max)."""
    if job.calibration_pixels is None or not len(job.calibration_pixels):
        raise ValueError("int8 needs calibration images: training images, uint8 [n, c, h, w]")
    quantized = quantize(build(job), job.calibration_pixels, job.activation_ranges)
    calibration: dict[str, Any] = {"images": len(job.calibration_pixels), "split": "train", "method": "minmax"}
    if job.activation_ranges:
        calibration = {"method": "qat"}
    metadata = job.metadata("int8")
    stays_float = executed.float_nodes(quantized.SerializeToString())
    return serialise(
        quantized,
        {**metadata, **_as_metadata("calibration", calibration), **_as_metadata("float_nodes", stays_float)},
    )


def quantize(
    model: onnx.ModelProto,
    calibration_pixels: NDArray[np.uint8],
    activation_ranges: tuple[tuple[float, float], ...] = (),
) -> onnx.ModelProto:
    """Quantize the float32 graph of `onnx.build`; its input stays uint8 pixels and its output float32 logits.

    Given `activation_ranges` of each layer but the last, what calibration finds is not used.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    if activation_ranges:
        overrides = activations.overrides_of_ranges(model, activation_ranges)
    else:
        overrides = activations.overrides(model, calibration_pixels)
    model = _with_float_input(model)
    # What the quantizer's own pre-processing would do is done; without this mark it warns through the root logger.
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        path = Path(folder) / "model.onnx"
        quantize_static(
            model,
            path,
            _CalibrationReader(calibration_pixels),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QUInt8,
            per_channel=True,
            op_types_to_quantize=activations.quantized_operators(),
            extra_options={
                "WeightSymmetric": True,
                "TensorQuantOverrides": {
                    INPUT: [{"scale": np.array(1, np.float32), "zero_point": np.array(0, np.uint8)}],
                    **overrides,
                },
            },
        )
        quantized = onnx.load(path)
    _take_pixels_as_quantized(quantized.graph)
    _leave_logits_in_float(quantized.graph)
    activations.replace_tanh(quantized, calibration_pixels)
    folding.drop_unused(quantized.graph)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized


class _CalibrationReader:
    """Feeds all calibration images as one batch (the protocol of onnxruntime's CalibrationDataReader)."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._batches: Iterator[dict[str, Any]] = iter([{INPUT: pixels.astype(np.float32)}])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._batches, None)

    def __len__(self) -> int:
        return 1


def _with_float_input(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose input is float32: the quantizer takes no integer for an activation."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    cast = next(node for node in copy.graph.node if node.op_type == "Cast" and node.input[0] == INPUT)
    _rename_reads(copy.graph, cast.output[0], INPUT)
    copy.graph.node.remove(cast)
    copy.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return copy


def _take_pixels_as_quantized(graph: onnx.GraphProto) -> None:
    """Delete the QuantizeLinear at the input (scale 1, zero point 0: the identity) and take uint8 instead."""
    import onnx

    node = next(node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == INPUT)
    _rename_reads(graph, node.output[0], INPUT)
    graph.node.remove(node)
    graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8


def _leave_logits_in_float(graph: onnx.GraphProto) -> None:
    """Delete the pair of QuantizeLinear and DequantizeLinear before the output, where there is one."""
    producers = {name: node for node in graph.node for name in node.output}
    dequantize = producers[OUTPUT]
    quantize = producers.get(dequantize.input[0])
    if dequantize.op_type != "DequantizeLinear" or quantize is None or quantize.op_type != "QuantizeLinear":
        return
    last = producers[quantize.input[0]]
    last.output[0] = OUTPUT
    graph.node.remove(quantize)
    graph.node.remove(dequantize)


def _rename_reads(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]


def _as_metadata(key: str, value: Any) -> dict[str, str]:
    import json

    from lenet_edge_runtime.spec import PREFIX

    return {PREFIX + key: json.dumps(value)}
