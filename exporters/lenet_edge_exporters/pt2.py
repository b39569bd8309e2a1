"""torch.export's archive (.pt2), the successor of TorchScript: a graph of ATen operators, for AOTInductor, ExecuTorch
and whatever else compiles such graphs.

Loading a pt2 file may run any code: `torch.export.load` falls back to unrestricted pickle where the file asks for it,
and gives its symbolic shapes to sympy, which evaluates them. The files written here hold no pickle, and no shape but
the batch's; a file that was tampered with may. One with a pickle, sample inputs or a part that is none of ours is
refused before torch sees it (`check_parts`); sympy is why others' files need `--trust` (`formats.open_file`) even so.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lenet_edge_exporters.export_job import ExportJob, LoadedModel
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.metadata import of_text
from lenet_edge_runtime.sessions import read_model

if TYPE_CHECKING:
    from torch.export import ExportedProgram

METADATA_ENTRY = "lenet_edge.json"

# All parts of an archive that `export` writes: tensors as bytes, the graph as JSON, what torch says of the archive.
_PARTS = re.compile(
    r"data/(weights/(weight_\d+|model_weights_config\.json)|constants/(tensor_\d+|model_constants_config\.json)"
    r"|sample_inputs/model\.pt)|models/model\.json|extra/"
    + re.escape(METADATA_ENTRY)
    + r"|archive_format|archive_version|byteorder|\.data/(version|serialization_id|checksum)"
)
_KEPT = "val"  # of what torch notes about a node: the shape and type of its result, without which nothing is saved


def export(job: ExportJob) -> bytes:
    """The network as an exported program for any batch size, the same bytes for the same network."""
    import torch

    from lenet_edge_exporters.pixels import deployable

    # A batch of 1 would be taken for a constant.
    example = torch.zeros((2, *job.spec.input_shape(job.input)), dtype=getattr(torch, job.input))
    program = torch.export.export(
        deployable(job.net, job.spec, job.input), (example,), dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    _strip(program)
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={METADATA_ENTRY: json.dumps(job.metadata("pt2"))})
    return buffer.getvalue()


def load(path: Path, threads: int = 1) -> LoadedModel:
    """Open a pt2 file that you trust; raise ModelFileError where it is none."""
    import torch

    from lenet_edge_exporters.pixels import TorchModel

    content = read_model(path)
    check_parts(content, str(path))
    extra = {METADATA_ENTRY: ""}
    try:
        with _quiet():
            module = torch.export.load(io.BytesIO(content), extra_files=extra).module()
        metadata = of_text(extra[METADATA_ENTRY] or "{}")
    except Exception as error:  # a damaged archive raises whatever the part that met it raises
        reason = str(error).strip().split("\n")[0][:200] or type(error).__name__
        raise ModelFileError(f"{path} is not a pt2 file that torch can load ({reason})") from None
    return TorchModel(module, metadata, threads)


def check_parts(content: bytes, name: str) -> None:
    """Raise ModelFileError for an archive with more in it than `export` writes: a pickle, a library, sample inputs."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            names = [entry.filename.partition("/")[2] for entry in entries]
            odd = next((part for part in names if not _PARTS.fullmatch(part)), None)
            if odd is not None or len(set(names)) != len(names):
                raise ModelFileError(f"{name} holds {str(odd or 'a part twice')[:80]!r}, which no export of ours has")
            for entry, part in zip(entries, names, strict=True):
                if part.startswith("data/sample_inputs/") and entry.file_size:
                    raise ModelFileError(f"{name} holds sample inputs, which are a pickle: code that would be run")
                if part.endswith("_config.json") and _asks_for_pickle(archive.read(entry)):
                    raise ModelFileError(f"{name} asks for a pickle (use_pickle): code that would be run")
    except (
        zipfile.BadZipFile,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OSError,
        RuntimeError,
        EOFError,
        NotImplementedError,
        zlib.error,
    ) as error:
        raise ModelFileError(f"{name} is not a pt2 file that torch can load ({str(error)[:100]})") from None


def _asks_for_pickle(config: bytes) -> bool:
    """Whether any tensor is to be unpickled; read as torch reads it, as JSON."""
    entries = json.loads(config)["config"]
    return any(entry.get("use_pickle") is not False for entry in entries.values())


def _strip(program: ExportedProgram) -> None:
    """Remove what torch notes about where the graph came from: source lines with absolute paths, class names."""
    import torch

    program.example_inputs = None
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta = {key: value for key, value in node.meta.items() if key == _KEPT}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says besides: the traceback of a file that it cannot load (the message says it in a line), and
    the warning of torch 2.9 that weights lie in bytes that nobody may write to."""
    log = logging.getLogger("torch.export")
    before = log.disabled
    log.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given buffer is not writable", UserWarning)
            yield
    finally:
        log.disabled = before
