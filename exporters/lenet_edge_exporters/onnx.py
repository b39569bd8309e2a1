"""ONNX in float32, by torch's dynamo exporter, with padding and normalisation inside the graph.

The exporter folds BatchNorm into convolutions and dense layers; this module folds the preprocessing into the first
convolution, so that all of it costs one Cast. A job with a float32 input leaves the preprocessing to the caller.
"""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lenet_edge_exporters import canonical, folding
from lenet_edge_exporters.export_job import DEFAULT_OPSET, ExportJob, LoadedModel
from lenet_edge_exporters.known_answers import answer_images
from lenet_edge_runtime import proof
from lenet_edge_runtime.classifier import Classifier
from lenet_edge_runtime.spec import PREFIX

if TYPE_CHECKING:
    import onnx

INPUT = "pixels"  # uint8 [batch, channels, height, width]
FLOAT_INPUT = "images"  # float32 [batch, channels, height + 2 padding, width + 2 padding], normalised
OUTPUT = "logits"  # float32 [batch, classes]
PROBABILITIES = "probabilities"  # float32 [batch, classes]
FLOAT_TOLERANCE = 1e-4  # of a known answer, as a share of the greatest logit


def export(job: ExportJob) -> bytes:
    """The network as one ONNX file without external data, the same bytes for the same network."""
    return serialise(build(job), job.metadata("onnx"))


def load(path: Path, threads: int = 1) -> LoadedModel:
    """Open an ONNX file (float32 or int8) that lenet-edge exported; its evidence is not looked at here."""
    return Classifier(path, threads, verify=False)


def seal(content: bytes, job: ExportJob, model: LoadedModel, card: Mapping[str, Any] | None) -> bytes:
    """Add the card, known answers and the seal to an exported file, opened as `model`."""
    return proof.seal(content, evidence(job, model, card))


def evidence(job: ExportJob, model: LoadedModel, card: Mapping[str, Any] | None) -> dict[str, str]:
    """What a file carries to prove itself besides its seal, as metadata: known answers of `model`, and the card."""
    pixels = answer_images(job.check_pixels, model)
    logits = model.logits(pixels)
    # float32 kernels differ between CPUs in the last bits; integer ones that cannot saturate do not.
    exact = model.metadata.get(PREFIX + "float_nodes") == "[]"
    tolerance = 0.0 if exact else FLOAT_TOLERANCE * float(np.abs(logits).max())
    entries = {proof.KNOWN_ANSWERS: proof.KnownAnswers(pixels, logits, tolerance).to_json()}
    if card is not None:
        entries[proof.CARD] = json.dumps(card)
    return entries


def build(job: ExportJob) -> onnx.ModelProto:
    """The float32 graph from the job's input to logits, in the job's opset."""
    from onnx import checker, version_converter

    from lenet_edge_exporters.foreign_net import foreign_net_in  # imports torch

    foreign = foreign_net_in(job.net)
    model = foreign.graph(job.spec, job.input) if foreign else trace(job)
    canonical.canonicalise(model)
    if job.input == "uint8":
        folding.fold_normalisation(model)
    canonical.affine_as_convolution(model)
    if job.opset != _opset_of(model):
        model = version_converter.convert_version(model, max(job.opset, 14))
        if job.opset == 13:
            _from_14_to_13(model)
    _strip(model)
    checker.check_model(model, full_check=True)
    return model


def serialise(model: onnx.ModelProto, metadata: Mapping[str, str]) -> bytes:
    """The model's bytes with this metadata and no other, in the oldest IR version that its opset allows."""
    from onnx import helper, numpy_helper

    _add_probabilities(model)
    del model.metadata_props[:]
    for item in model.graph.initializer:  # as raw bytes: the quantizer writes some of them as varints
        values = numpy_helper.to_array(item)
        if values.dtype == np.int64:  # shapes and pads, whose small numbers are a byte each as varints
            item.CopyFrom(helper.make_tensor(item.name, item.data_type, values.shape, values.reshape(-1)))
        else:
            item.CopyFrom(numpy_helper.from_array(values, item.name))
    helper.set_model_props(model, dict(metadata))
    # Quantization leaves unused operator sets behind, which old runtimes refuse.
    used = {node.domain for node in model.graph.node}
    opsets = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    model.ir_version = helper.find_min_ir_version_for(list(model.opset_import))
    model.producer_name, model.producer_version = "lenet-edge", ""
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _add_probabilities(model: onnx.ModelProto) -> None:
    """Give the softmax of the logits too: 0.5 us on a machine where the whole net takes 16."""
    from onnx import TensorProto, helper

    graph = model.graph
    batch, classes = graph.output[0].type.tensor_type.shape.dim
    shape = [batch.dim_param, classes.dim_value]
    graph.node.append(helper.make_node("Softmax", [OUTPUT], [PROBABILITIES], name=PROBABILITIES, axis=-1))
    graph.output.append(helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, shape))


def trace(job: ExportJob) -> onnx.ModelProto:
    """The graph as torch's exporter gives it."""
    import torch

    from lenet_edge_exporters.pixels import deployable

    example = torch.tensor(job.as_input(job.check_pixels[:2]))  # a batch of 1 would be taken for a constant
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            deployable(job.net, job.spec, job.input),
            (example,),
            dynamo=True,
            external_data=False,
            verbose=False,
            opset_version=max(job.opset, DEFAULT_OPSET),
            input_names=[INPUT if job.input == "uint8" else FLOAT_INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    assert program is not None
    return program.model_proto


def _from_14_to_13(model: onnx.ModelProto) -> None:
    """Take the last step, for which onnx has no adapters: 14 only gave Reshape an attribute, and others more types."""
    next(entry for entry in model.opset_import if entry.domain == "").version = 13


def _strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes about itself: absolute paths of source files, among others."""
    graph = model.graph
    del graph.metadata_props[:]
    del graph.value_info[:]
    model.doc_string = graph.doc_string = ""
    for item in [*graph.node, *graph.input, *graph.output, *graph.initializer]:
        del item.metadata_props[:]
        item.doc_string = ""


def _opset_of(model: onnx.ModelProto) -> int:
    return next(int(entry.version) for entry in model.opset_import if entry.domain == "")
