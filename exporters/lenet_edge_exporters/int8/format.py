"""The int8 file: calibrated on the job's training images, with what was done in its metadata."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lenet_edge_exporters import executed
from lenet_edge_exporters.export_job import ExportJob, Images, Layers
from lenet_edge_exporters.int8.calibration import Ranges, calibrate, learned_ranges
from lenet_edge_exporters.int8.quantization import prepare, quantize_layers
from lenet_edge_exporters.layers import chosen_layers
from lenet_edge_exporters.onnx import build, serialise
from lenet_edge_runtime.spec import PREFIX

if TYPE_CHECKING:
    import onnx


def export(job: ExportJob) -> bytes:
    """The network with weights and activations in 8 bits, calibrated on the job's training images."""
    return exporter(job)(job.int8.layers)


def exporter(job: ExportJob, model: onnx.ModelProto | None = None) -> Callable[[Layers], bytes]:
    """Calibrate once; the result gives the file's bytes for any choice of layers. `model`: `onnx.build(job)`."""
    prepared = prepare(model or build(job))
    images, ranges, calibration = _calibrated(job, prepared)

    def content(layers: Layers) -> bytes:
        chosen = [{"node": layer.node, "op_type": layer.op_type} for layer in chosen_layers(prepared, layers)]
        quantized = quantize_layers(prepared, ranges, images, layers, compensated=not job.activation_ranges)
        own = {
            **_as_metadata("calibration", calibration),
            **_as_metadata("int8_layers", chosen),
            **_as_metadata("float_nodes", executed.float_nodes(quantized.SerializeToString())),
        }
        return serialise(quantized, {**job.metadata("int8"), **own})

    return content


def plain_graph(job: ExportJob) -> onnx.ModelProto:
    """The graph of `export(job)`, all layers in int8, with the first convolution as the network has it.

    For exporters that bring kernels of their own: `pixel_blocks` rewrites it for onnxruntime's.
    """
    prepared = prepare(build(job))
    images, ranges, _ = _calibrated(job, prepared)
    return quantize_layers(prepared, ranges, images, compensated=not job.activation_ranges, widen=False)


def _calibrated(job: ExportJob, prepared: onnx.ModelProto) -> tuple[Images, Ranges, dict[str, Any]]:
    """The calibration images as the graph takes them, the ranges of its activations, and how those were found."""
    if job.calibration_pixels is None or not len(job.calibration_pixels):
        raise ValueError("int8 needs calibration images: training images, uint8 [n, c, h, w]")
    images = job.as_input(job.calibration_pixels)
    ranges = calibrate(prepared, images, job.int8.calibration_method)
    calibration: dict[str, Any] = {
        "images": len(images),
        "split": "train",
        "method": job.int8.calibration_method,
        "seed": job.int8.calibration_seed,
    }
    if job.activation_ranges:
        ranges |= learned_ranges(prepared, job.activation_ranges)
        calibration = {"method": "qat"}
    return images, ranges, calibration


def _as_metadata(key: str, value: Any) -> dict[str, str]:
    return {PREFIX + key: json.dumps(value)}
