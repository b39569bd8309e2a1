"""What a folder of the C or WebAssembly export says of itself, read as text before any of it is compiled or run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lenet_edge_exporters.c import naming, wasm
from lenet_edge_exporters.c.folder import MEASURES
from lenet_edge_runtime import metadata, proof
from lenet_edge_runtime.errors import GateError, ModelFileError
from lenet_edge_runtime.reading import read_bytes
from lenet_edge_runtime.shared_library import DEFAULT_NAME, MAX_SCRATCH, NAME, SCRATCH

# As `constants.declaration` writes it; codes of bytes, and a zero at the end.
DECLARED = re.compile(rb"static const uint8_t metadata\[\d+\] = \{\n([\d, \n]*)\n\};")
_PROVENANCE: Mapping[str, Callable[[Any], object]] = {
    "recipe": metadata.text,
    "dataset": metadata.text,
    "weights_sha256": metadata.text,
    "parameters": metadata.whole(0),
    "data_md5s": metadata.table(metadata.text),
    "versions": metadata.table(metadata.text),
}


def check_c(path: Path) -> None:
    """Raise ModelFileError for a folder that is none of the C export, or says of itself what cannot be."""
    _check(read_c(path), "c", path)


def read_c(path: Path) -> dict[str, str]:
    """The metadata of a folder of the C export, from its source; raises ModelFileError for another folder."""
    name = naming.name_in(path)
    source = path / f"{name}_metadata.c"
    try:
        found = DECLARED.search(read_bytes(source))
    except OSError as error:
        raise ModelFileError(f"{path} is no folder of the C export ({error})") from None
    if found is None:
        raise ModelFileError(f"{source} is not as the C export writes it: export the folder again")
    try:
        content = bytes(map(int, found[1].split(b",")))
        if content[-1:] != b"\0":
            raise ValueError("no zero byte ends it")
        stated = metadata.of_text(content[:-1])
    except ValueError as error:
        raise ModelFileError(f"{source}: the metadata is damaged ({metadata.shortened(str(error))})") from None
    if (own := metadata.read(stated, NAME, metadata.text, DEFAULT_NAME)) != name:
        raise ModelFileError(
            f"{source} says that its network is called {metadata.shortened(own)}: export the folder again"
        )
    return stated


def check_wasm(path: Path) -> None:
    """The same of a folder of the WebAssembly export; GateError where its seal is broken."""
    files, stated = wasm.read(path)
    if not wasm.is_sealed(files):
        raise GateError(f"{path} {proof.BROKEN_SEAL}")
    _check(stated, "wasm", path)


def _check(stated: dict[str, str], format_name: str, path: Path) -> None:
    try:
        proof.known_answers(stated, str(path))  # and with them labels, shape and normalisation
        proof.card_of(stated)
        for measure in MEASURES:
            metadata.read(stated, measure, metadata.whole(0, MAX_SCRATCH if measure == SCRATCH else metadata.GREATEST))
        for key, reader in _PROVENANCE.items():
            metadata.read_optional(stated, key, reader)
        if (found := metadata.read(stated, "format", metadata.text)) != format_name:
            raise ModelFileError(f"it says that its format is {metadata.shortened(found)}, expected {format_name}")
    except ModelFileError as error:
        said = str(error)
        raise ModelFileError(said if said.startswith(str(path)) else f"{path}: {said}") from None
