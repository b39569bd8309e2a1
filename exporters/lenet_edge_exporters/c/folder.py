"""The files around the network: its interface, a self-test, builds, metadata and a README."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from lenet_edge_exporters import int8
from lenet_edge_exporters.c import emitter, lowering, naming
from lenet_edge_exporters.c.constants import declaration
from lenet_edge_exporters.c.emitter import Program
from lenet_edge_exporters.export_job import ExportJob
from lenet_edge_exporters.integer_program import graph
from lenet_edge_exporters.integer_program.program import UnsupportedError
from lenet_edge_exporters.known_answers import OnnxLogits, answer_images
from lenet_edge_runtime.host import installed_versions
from lenet_edge_runtime.printable import code_span, printable, to_json
from lenet_edge_runtime.proof import KNOWN_ANSWERS, KnownAnswers
from lenet_edge_runtime.shared_library import DEFAULT_NAME, NAME
from lenet_edge_runtime.spec import PREFIX, ModelSpec

MEASURES = ("scratch_bytes", "constant_bytes", "macs")  # metadata of one inference
LINE = 116  # characters of labels, behind an indent
PIECE = 27  # bytes of a label a literal: 108 characters where each has to be written in octal
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_.,/+()")
POLARITIES = {"light-on-dark": "light on dark", "dark-on-light": "dark on light", "any": "as the training images are"}


@dataclass(frozen=True)
class Made:
    """A job's program with its known answers, and the metadata that travels with it."""

    program: Program
    answers: KnownAnswers
    metadata: dict[str, str]


def build(job: ExportJob) -> Made:
    """Quantize the job's network and turn it into C; raises UnsupportedError for what C has not."""
    model = int8.plain_graph(job)
    program = emitter.emit(lowering.lower(graph.operations(model, "the C export")), job.c_name)
    oracle = OnnxLogits(model.SerializeToString())
    pixels = answer_images(job.check_pixels, oracle)
    answers = KnownAnswers(pixels, oracle.logits(pixels), 0.0)
    measures = (program.scratch, program.constants, program.macs)
    metadata = {
        **job.metadata("c"),
        **{PREFIX + key: json.dumps(value) for key, value in zip(MEASURES, measures, strict=True)},
        KNOWN_ANSWERS: answers.to_json(),
    }
    if job.c_name != DEFAULT_NAME:
        metadata[PREFIX + NAME] = json.dumps(job.c_name)
    return Made(program, answers, metadata)


def render(job: ExportJob, made: Made) -> dict[str, bytes]:
    """The files by name; the same bytes for the same network."""
    return {name: filled(source, job, made) for name, source in naming.files(job.c_name).items()}


def filled(name: str, job: ExportJob, made: Made) -> bytes:
    """One template with its fields filled in."""
    return fill(template(name), _fields(job, made)).encode()


def fill(text: str, fields: Mapping[str, str]) -> str:
    """A template's text with each @FIELD@ filled in; KeyError for a field that there is not."""
    return re.sub(r"@([A-Z0-9_]+)@", lambda match: fields[match[1]], text)


def template(name: str) -> str:
    """The text of a template."""
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def title_of(provenance: Mapping[str, Any]) -> str:
    """What the network is called in comments: recipe and data set, where they are said."""
    parts = [str(found) for key in ("recipe", "dataset") if (found := provenance.get(key)) is not None]
    text = " for ".join(parts) or "a network"
    return re.sub(r"[^A-Za-z0-9 ._-]", "-", text)  # nothing that could end a comment


def image_of(spec: ModelSpec) -> str:
    """What an image is, in words."""
    channels, height, width = spec.pixel_shape
    if channels == 1:
        return f"{height} x {width} grey levels"
    return f"{channels} planes of {height} x {width} levels"


def label_list(labels: Sequence[str]) -> str:
    """The labels by commas, in Markdown."""
    return ", ".join(code_span(to_json(label)) for label in labels)


def _fields(job: ExportJob, made: Made) -> dict[str, str]:
    program, answers = made.program, made.answers
    versions = installed_versions(("lenet-edge", "onnxruntime"))
    channels, height, width = job.spec.pixel_shape
    weights = job.provenance.get("weights_sha256")
    parameters = job.provenance.get("parameters")
    threshold = job.spec.threshold
    return {
        "NAME": job.c_name,
        "MACRO": job.c_name.upper(),
        "TITLE": title_of(job.provenance),
        "VERSION": versions["lenet-edge"],
        "ONNXRUNTIME": versions["onnxruntime"],
        "WEIGHTS_ORIGIN": f"quantized from weights with SHA-256\n * {weights}." if weights else "quantized to int8.",
        "PARAMETERS": f"{parameters:,} parameters" if parameters else "a small network",
        "SHA256": program.sha256,
        "IMAGE": image_of(job.spec),
        "POLARITY": POLARITIES[job.spec.polarity],
        "CHANNELS": str(channels),
        "HEIGHT": str(height),
        "WIDTH": str(width),
        "PIXELS": str(channels * height * width),
        "CLASSES": str(len(job.spec.labels)),
        "MACS": str(program.macs),
        "CONSTANTS": str(program.constants),
        "SCRATCH": str(program.scratch),
        "WORK": str(program.work),
        "ACTIVATIONS": str(program.activations),
        "BODY": program.body,
        "LABELS": c_strings(job.spec.labels),
        "THRESHOLD": f"{np.finfo(np.float32).min if threshold is None else np.float32(threshold)!s}f",
        "THRESHOLD_SAID": "minus infinity (the network has no threshold)" if threshold is None else f"{threshold:.6g}",
        "LABELS_JSON": json.dumps(list(job.spec.labels)),
        "LABEL_LIST": label_list(job.spec.labels),
        "IMAGES": str(len(answers.pixels)),
        "IMAGE_DATA": numbers(answers.pixels),
        "ANSWER_DATA": numbers(answers.logits.view(np.uint32), "0x{:08x}u"),
        "METADATA": declaration("metadata", np.frombuffer(_json(made.metadata) + b"\0", np.uint8)).rstrip(),
    }


def c_strings(texts: Sequence[str]) -> str:
    """C string literals by commas; lines are broken between literals and never within one."""
    lines = [""]
    for text in texts:
        pieces = c_string(text)
        for token in (*pieces[:-1], pieces[-1] + ","):
            if len(lines[-1]) + 1 + len(token) > LINE:
                lines.append("   ")
            lines[-1] += f" {token}"
    return "\n".join(lines).strip().removesuffix(",")


def c_string(text: str) -> list[str]:
    """A text's UTF-8 bytes as C string literals that follow one another, each short enough for a line.

    Whatever is not a plain letter is written in octal: quotes, backslashes, the question marks of trigraphs, and the
    end of a comment. Raises UnsupportedError for a text with a zero byte, which ends a string in C.
    """
    if "\0" in text:
        raise UnsupportedError(f"the label {printable(text)} holds a zero byte, which ends a string in C: rename it")
    escaped = [chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in text.encode()]
    return [f'"{"".join(escaped[i : i + PIECE])}"' for i in range(0, max(1, len(escaped)), PIECE)]


def _json(metadata: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(metadata), sort_keys=True).encode()


def numbers(values: np.ndarray[Any, Any], form: str = "{}") -> str:
    """The elements of an array as C writes them between braces, in lines."""
    return _wrapped(", ".join(form.format(value) for value in values.reshape(-1).tolist()), "    ")


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 116, initial_indent=indent, subsequent_indent="    ", break_on_hyphens=False)
