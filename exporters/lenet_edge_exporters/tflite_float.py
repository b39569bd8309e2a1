"""TFLite in float32: the graph of the ONNX export, preprocessing inside, for LiteRT where 8 bits are not wanted.

uint8 pixels channels last in, float32 logits out, any batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lenet_edge_exporters import onnx
from lenet_edge_exporters.export_job import ExportJob, LoadedModel
from lenet_edge_exporters.integer_program.program import UnsupportedError
from lenet_edge_exporters.tflite import file, floating
from lenet_edge_exporters.tflite.model import ModelWriter
from lenet_edge_runtime import proof

NAME = "tflite-float"


def export(job: ExportJob) -> bytes:
    """The network as one TFLite file, the same bytes for the same network; UnsupportedError for what TFLite has not."""
    return _written(job, {})


def seal(_content: bytes, job: ExportJob, model: LoadedModel, card: Mapping[str, Any] | None) -> bytes:
    """The file again with the card and known answers in its metadata, and the seal in the zip at its end."""
    return proof.seal_zip(_written(job, {**onnx.evidence(job, model, card), proof.SEAL: file.SEAL_PLACE}))


def _written(job: ExportJob, evidence: Mapping[str, str]) -> bytes:
    if job.input != "uint8":
        raise UnsupportedError("the float TFLite export takes raw pixels; leave --input float32 out")
    writer = ModelWriter(floating.VERSIONS)
    channels, height, width = job.spec.pixel_shape
    shape = (height, width, channels)
    source = writer.activation(onnx.INPUT, shape, "UINT8")
    target = floating.write(onnx.build(job).graph, writer, source, shape)
    return file.content(job, NAME, writer, source, target, evidence)
