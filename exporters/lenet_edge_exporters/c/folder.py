"""The files around the network: its interface, a self-test, builds, metadata and a README."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np

from lenet_edge_exporters.c.constants import declaration
from lenet_edge_exporters.c.emitter import Program
from lenet_edge_exporters.job import ExportJob
from lenet_edge_runtime.proof import KnownAnswers

TEMPLATES = (
    "lenet.h", "lenet.c", "lenet_selftest.c", "lenet_metadata.c", "Makefile", "CMakeLists.txt", "README.md",
)  # fmt: skip
POLARITIES = {"light-on-dark": "light on dark", "dark-on-light": "dark on light", "any": "as the training images are"}


def render(
    job: ExportJob, program: Program, answers: KnownAnswers, metadata: Mapping[str, str], versions: Mapping[str, str]
) -> dict[str, bytes]:
    """The files by name; the same bytes for the same network."""
    fields = _fields(job, program, answers, metadata, versions)
    return {name: _fill(_template(name), fields).encode() for name in TEMPLATES}


def title_of(job: ExportJob) -> str:
    """What the network is called in comments: recipe and data set, where the job says them."""
    parts = [str(job.provenance[key]) for key in ("recipe", "dataset") if key in job.provenance]
    text = " for ".join(parts) or "a network"
    return re.sub(r"[^A-Za-z0-9 ._-]", "-", text)  # nothing that could end a comment


def _fields(
    job: ExportJob, program: Program, answers: KnownAnswers, metadata: Mapping[str, str], versions: Mapping[str, str]
) -> dict[str, str]:
    channels, height, width = job.spec.pixel_shape
    weights = job.provenance.get("weights_sha256")
    parameters = job.provenance.get("parameters")
    return {
        "TITLE": title_of(job),
        "VERSION": versions["lenet-edge"],
        "ONNXRUNTIME": versions["onnxruntime"],
        "WEIGHTS_ORIGIN": f"quantized from weights with SHA-256\n * {weights}." if weights else "quantized to int8.",
        "PARAMETERS": f"{parameters:,} parameters" if parameters else "a small network",
        "SHA256": program.sha256,
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
        "LABELS": _wrapped(", ".join(c_string(label) for label in job.spec.labels)),
        "LABEL_LIST": ", ".join(f"`{label}`" for label in job.spec.labels),
        "IMAGES": str(len(answers.pixels)),
        "IMAGE_DATA": _numbers(answers.pixels),
        "ANSWER_DATA": _numbers(answers.logits.view(np.uint32), "0x{:08x}u"),
        "METADATA": declaration("metadata", np.frombuffer(_json(metadata) + b"\0", np.uint8)).rstrip(),
    }


def c_string(text: str) -> str:
    """A C string literal of the text's UTF-8 bytes."""
    plain = {ord(character) for character in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_.,/+()"}
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'


def _json(metadata: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(metadata), sort_keys=True).encode()


def _numbers(values: np.ndarray[Any, Any], form: str = "{}") -> str:
    return _wrapped(", ".join(form.format(value) for value in values.reshape(-1).tolist()), "    ")


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 116, initial_indent=indent, subsequent_indent="    ", break_on_hyphens=False)


def _template(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _fill(text: str, fields: Mapping[str, str]) -> str:
    return re.sub(r"@([A-Z0-9_]+)@", lambda match: fields[match[1]], text)
