"""TFLite for phones, microcontrollers and NPUs: the int8 network, from the same integer steps as the C export.

uint8 pixels channels last in, int8 logits (or float32 ones) out, any batch. LiteRT with XNNPACK, its default, gives
onnxruntime's int8 logits rounded to the output's scale, bit for bit; kernels that multiply in fixed point (LiteRT's
reference ones, TensorFlow Lite Micro, NPUs) may be one step off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters import int8
from lenet_edge_exporters.export_job import ExportJob, LoadedModel
from lenet_edge_exporters.integer_program import graph
from lenet_edge_exporters.integer_program.dense import Dense
from lenet_edge_exporters.integer_program.program import UnsupportedError
from lenet_edge_exporters.known_answers import OnnxLogits, answer_images
from lenet_edge_exporters.tflite import file
from lenet_edge_exporters.tflite.model import Codes, ModelWriter
from lenet_edge_exporters.tflite.operators import SIGNED, VERSIONS, write
from lenet_edge_runtime import proof
from lenet_edge_runtime.classifier import Classifier
from lenet_edge_runtime.spec import PREFIX

LOGIT_STEP = PREFIX + "logit_step"  # metadata: what one step of the int8 logits is


def export(job: ExportJob) -> bytes:
    """The network as one TFLite file, the same bytes for the same network; UnsupportedError for what TFLite has not."""
    return _written(job, {})


def load(path: Path, threads: int = 1) -> LoadedModel:
    """Open a TFLite file that lenet-edge exported, in LiteRT; its evidence is not looked at here."""
    return Classifier(path, threads, verify=False)


def seal(_content: bytes, job: ExportJob, model: LoadedModel, card: Mapping[str, Any] | None) -> bytes:
    """The file again with the card and known answers in its metadata, and the seal in the zip at its end.

    Known answers may be a step off elsewhere: not every kernel rounds as XNNPACK does.
    """
    pixels = answer_images(job.check_pixels, model)
    step = float(json.loads(model.metadata[LOGIT_STEP]))
    answers = proof.KnownAnswers(pixels, model.logits(pixels), tolerance=1.001 * step)
    entries = {proof.KNOWN_ANSWERS: answers.to_json(), proof.SEAL: file.SEAL_PLACE}
    return proof.seal_zip(_written(job, entries if card is None else {**entries, proof.CARD: json.dumps(card)}))


def _written(job: ExportJob, evidence: Mapping[str, str]) -> bytes:
    model = int8.plain_graph(job)
    *hidden, last = graph.read(model, "the TFLite export")
    if not isinstance(last, Dense):
        raise UnsupportedError(
            "the TFLite export needs a dense layer as the last one; export this net as int8 ONNX or c"
        )
    assert job.calibration_pixels is not None  # plain_graph asks for them
    scale, zero_point = logit_codes(OnnxLogits(model.SerializeToString()).logits(job.calibration_pixels))
    writer = ModelWriter(VERSIONS)
    channels, height, width = job.spec.pixel_shape
    codes = Codes((height, width, channels), 1.0, -SIGNED)
    source = writer.activation("pixels", codes.shape, "UINT8", 1.0, 0)
    tensor = writer.operator("QUANTIZE", [source], "pixels_int8", codes, "QuantizeOptions", {})
    for number, step in enumerate(hidden, 1):
        tensor, codes = write(step, writer, tensor, codes, number)
    last = Dense(last.weights, last.sums.quantized(np.float32(scale), zero_point + SIGNED))
    tensor, codes = write(last, writer, tensor, codes, len(hidden) + 1)
    target = _named_logits(writer, job, tensor, codes)
    return file.content(job, "tflite", writer, source, target, {LOGIT_STEP: json.dumps(scale), **evidence})


def logit_codes(logits: NDArray[np.float32]) -> tuple[float, int]:
    """Scale and int8 zero point that hold these logits of training images, and a tenth more on both sides."""
    low, high = min(float(logits.min()), 0.0), max(float(logits.max()), 0.0)
    scale = float(np.float32(1.1 * (high - low) / 255))
    return scale, round(-0.5 - (low + high) / 2 / scale)


def _named_logits(writer: ModelWriter, job: ExportJob, tensor: int, codes: Codes) -> int:
    """The output: the codes of the last layer under the name of logits, or what they stand for in float32."""
    if job.tflite_logits == "int8":
        writer.rename(tensor, "logits")
        return tensor
    logits = writer.activation("logits", codes.shape, "FLOAT32")
    writer.append("DEQUANTIZE", [tensor], logits, "DequantizeOptions", {})
    return logits
