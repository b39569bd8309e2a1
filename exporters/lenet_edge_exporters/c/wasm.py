"""WebAssembly from the same C: one module of some 74 kB and a loader of 1 kB, for browsers and Node.

`lenet.mjs` exports `load(source)`, which resolves to an object with `predict(pixels) -> logits`. `lenet.json` is the
metadata: known answers, the card of what was measured, and a seal over every byte of the three files.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lenet_edge_exporters.c import folder, toolchain
from lenet_edge_exporters.c.node import NodeModel, find_node
from lenet_edge_exporters.export_job import ExportJob, LoadedModel
from lenet_edge_runtime import proof
from lenet_edge_runtime.errors import GateError, ModelFileError
from lenet_edge_runtime.metadata import of_text
from lenet_edge_runtime.reading import read_bytes
from lenet_edge_runtime.shared_library import DEFAULT_NAME
from lenet_edge_runtime.spec import PREFIX

FILES = MODULE, LOADER, METADATA = "lenet.wasm", "lenet.mjs", "lenet.json"


def export(job: ExportJob) -> dict[str, bytes]:
    """The folder's files by name; raises CompilerError where nothing compiles C to WebAssembly.

    Modules of JavaScript have no names in common: these keep theirs, whatever the job's C is called.
    """
    job = replace(job, c_name=DEFAULT_NAME)
    made = folder.build(job)
    files = folder.render(job, made)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        for name in ("lenet.h", "lenet.c"):
            (place / name).write_bytes(files[name])
        for name in ("lenet_wasm.c", "string.h"):
            (place / name).write_text(folder.template(name), encoding="utf-8")
        module = toolchain.compile_wasm(place, place / MODULE).read_bytes()
    metadata = {**made.metadata, PREFIX + "format": json.dumps("wasm")}
    return _sealed({MODULE: module, LOADER: folder.filled(LOADER, job, made)}, metadata)


def seal(files: Mapping[str, bytes], card: Mapping[str, Any] | None) -> dict[str, bytes]:
    """A folder's files with the card among the metadata, sealed anew."""
    metadata = of_text(files[METADATA])
    return _sealed(files, metadata if card is None else {**metadata, proof.CARD: json.dumps(card)})


def is_sealed(files: Mapping[str, bytes]) -> bool:
    """Whether a folder's files are those that were sealed: sealing them again then changes no byte."""
    return _sealed(files, of_text(files[METADATA])) == files


def read(path: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """A folder's files by name, and its metadata; raises ModelFileError for another folder."""
    try:
        files = {name: read_bytes(path / name) for name in FILES}
        return files, of_text(files[METADATA])
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path} is no folder of the wasm export ({error})") from error


def read_metadata(path: Path) -> dict[str, str]:
    """A folder's metadata."""
    return read(path)[1]


def files_in(path: Path) -> tuple[str, ...]:
    """The names of a folder's files, which are those of every folder."""
    del path
    return FILES


def check_tools() -> None:
    """Raise LenetEdgeError where nothing compiles to WebAssembly here, or nothing runs it."""
    toolchain.find_wasm_compiler()
    find_node()


def load(path: Path, threads: int = 1, *, confined: bool = False) -> LoadedModel:
    """Open the folder in Node and replay its known answers; `threads` means nothing to it.

    Node runs it under its permission model, where it has one; with `confined` one that has none raises ModelFileError.
    So does another folder, and where there is no Node. Raises GateError where a byte is not the one that was exported,
    or an answer differs by a bit.
    """
    del threads
    files, metadata = read(path)
    if not is_sealed(files):
        raise GateError(f"{path} {proof.BROKEN_SEAL}")
    model = NodeModel(files, metadata, confined)
    answers = proof.known_answers(metadata, str(path))
    if not np.array_equal(model.logits(answers.pixels), answers.logits):
        raise GateError(f"{path}: in Node it gives other logits than onnxruntime; report it with its lenet.wasm")
    return model


def _sealed(files: Mapping[str, bytes], metadata: Mapping[str, str]) -> dict[str, bytes]:
    """Module, loader and `metadata`, and in that the SHA-256 of all the rest."""
    rest = {key: value for key, value in metadata.items() if key != proof.SEAL}
    digest = hashlib.sha256(files[MODULE] + files[LOADER] + _json(rest)).hexdigest()
    return {MODULE: files[MODULE], LOADER: files[LOADER], METADATA: _json({**rest, proof.SEAL: digest})}


def _json(metadata: Mapping[str, str]) -> bytes:
    return (json.dumps(metadata, sort_keys=True, indent=1) + "\n").encode()
