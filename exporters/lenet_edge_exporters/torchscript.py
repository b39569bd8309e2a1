"""TorchScript, traced and frozen. Legacy: deprecated since torch 2.11, kept for the apps that load it.

A TorchScript file is code: load only files that you trust.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

from lenet_edge_exporters.export_job import ExportJob, LoadedModel
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.metadata import of_text

METADATA_ENTRY = "lenet_edge.json"

# Each class that a process scripts gets the next number, and debug records hold the exporter's folder names.
_MANGLED = re.compile(rb"___torch_mangle_(\d+)")
_LEFT_OUT = (".debug_pkl", ".data/serialization_id")


def export(job: ExportJob) -> bytes:
    """The traced and frozen network as a TorchScript archive, the same bytes for the same network."""
    import torch

    from lenet_edge_exporters.pixels import deployable

    example = torch.tensor(job.as_input(job.check_pixels[:2]))
    buffer = io.BytesIO()
    with _without_deprecation(), torch.inference_mode():
        net = deployable(job.net, job.spec, job.input)
        traced = torch.jit.trace(net, example, check_trace=False)  # type: ignore[no-untyped-call]
        module = torch.jit.freeze(traced)
        torch.jit.save(module, buffer, _extra_files={METADATA_ENTRY: json.dumps(job.metadata("torchscript"))})
    return _without_traces(buffer.getvalue())


def load(path: Path, threads: int = 1) -> LoadedModel:
    """Open a TorchScript file; raise ModelFileError where it is none."""
    import torch

    from lenet_edge_exporters.pixels import TorchModel

    extra = {METADATA_ENTRY: ""}
    try:
        with _without_deprecation():
            module = torch.jit.load(path, map_location="cpu", _extra_files=extra)  # type: ignore[no-untyped-call]
        metadata = of_text(extra[METADATA_ENTRY] or "{}")
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise ModelFileError(f"{path} is not a TorchScript file ({reason})") from None
    return TorchModel(module, metadata, threads)


@contextlib.contextmanager
def _without_deprecation() -> Iterator[None]:
    """Every torch.jit call warns that TorchScript is deprecated; the format's summary says so."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", message=".*torch.jit.*", category=category)
        yield


def _without_traces(archive: bytes) -> bytes:
    """Rewrite a TorchScript archive without debug records, and with its mangled class names counted from 0."""
    numbers: dict[bytes, int] = {}

    def renumber(match: re.Match[bytes]) -> bytes:
        return b"___torch_mangle_%d" % numbers.setdefault(match[1], len(numbers))

    cleaned = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(cleaned, "w") as target:
        for entry in source.infolist():
            if entry.filename.endswith(_LEFT_OUT):
                continue
            content = source.read(entry)
            if "/code/" in entry.filename or entry.filename.endswith("/data.pkl"):
                content = _MANGLED.sub(renumber, content)
            name = _MANGLED.sub(renumber, entry.filename.encode()).decode()
            target.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content)
    return cleaned.getvalue()
