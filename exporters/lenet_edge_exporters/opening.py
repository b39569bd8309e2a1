"""How an exported file is opened: after its manifest and its seal, and only where what it brings may run."""

from pathlib import Path

from lenet_edge_exporters import manifest, own_files
from lenet_edge_exporters.c import wasm
from lenet_edge_exporters.export_job import LoadedModel
from lenet_edge_exporters.formats import FORMATS, Format, format_of, read_content, sha256_of
from lenet_edge_exporters.guarded import GuardedModel
from lenet_edge_runtime import metadata, proof
from lenet_edge_runtime.classifier import SPEC_MARK
from lenet_edge_runtime.errors import GateError, ModelFileError
from lenet_edge_runtime.near_names import near_path
from lenet_edge_runtime.sessions import read_model


def open_file(path: Path, threads: int = 1, *, verify: bool = True, trust: bool = False) -> tuple[str, LoadedModel]:
    """Open an exported file of any format; return the format's name, as the file itself states it, and the model.

    Before anything of it is opened it is compared with the manifest that lists it, if any. A file of a format that can
    carry code is opened where this machine wrote it (`own_files`); one of somebody else's only with `trust`, in a child
    process under limits (`guarded`). Raises ModelFileError for that, for a file that is missing or, with `verify`, of a
    format that is sealed and has no seal, and GateError for one that is not as its manifest or its seal says.
    """
    if not path.exists():
        raise ModelFileError(f"{path} does not exist: {near_path(path)}give the path of an exported model")
    row = format_of(path)
    if not path.is_dir():
        read_model(path)  # whatever opens it by its path meets a regular file
    manifest.check(path)
    if verify and row.seal:
        _check_seal(path, read_model(path))
    check_trust(path, trust)
    if row.check:
        row.check(path)
    model = row.load(path, threads) if is_own(path) else _guarded(row, path)
    name = metadata.read(model.metadata, "format", metadata.text, row.name)
    if name not in FORMATS:
        raise ModelFileError(f"{path} says that its format is {name[:100]!r}, expected one of {', '.join(FORMATS)}")
    return name, model


def is_own(path: Path) -> bool:
    """Whether opening the file runs no code but ours: its format carries none, or this machine wrote it."""
    return not format_of(path).carries_code or own_files.is_own(sha256_of(read_content(path)))


def check_trust(path: Path, trust: bool) -> None:
    """Raise ModelFileError for a file that can carry code and was not made here, unless its maker is trusted."""
    if trust or is_own(path):
        return
    raise ModelFileError(
        f"{path} was not exported on this machine, and a {format_of(path).name} file can run any code as it is opened; "
        f"take ONNX from others, or, if you trust who made it, add --trust"
    )


def _guarded(row: Format, path: Path) -> LoadedModel:
    return wasm.load(path, confined=True) if row.name == "wasm" else GuardedModel(path)


def _check_seal(path: Path, content: bytes) -> None:
    if SPEC_MARK not in content:
        return  # not ours, which whoever opens it says
    if proof.is_broken(content):
        raise GateError(f"{path} {proof.BROKEN_SEAL}")
    proof.check_seal(content, str(path))
