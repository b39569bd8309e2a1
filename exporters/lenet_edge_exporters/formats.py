"""The table of formats: one row a format, each holding its functions. The command line and the tests derive from it.

To add a format: a module with `export(job) -> bytes` (or a mapping of file names to bytes, for a folder) and
`load(path, threads) -> LoadedModel`, and a row here.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters import atomic, c, int8, onnx, ort, own_files, pt2, tflite, tflite_float, torchscript
from lenet_edge_exporters.c import naming, stated, toolchain, wasm
from lenet_edge_exporters.export_job import ExportJob, LoadedModel, Measurement
from lenet_edge_exporters.packages import kind_of
from lenet_edge_runtime.errors import GateError, ModelFileError
from lenet_edge_runtime.near_names import did_you_mean
from lenet_edge_runtime.reading import read_bytes
from lenet_edge_runtime.tflite_file import schema

Content = bytes | Mapping[str, bytes]  # of a file, or of the files of a folder by their names
Seal = Callable[[bytes, ExportJob, LoadedModel, Mapping[str, Any] | None], bytes]
FolderSeal = Callable[[Mapping[str, bytes], Mapping[str, Any] | None], Mapping[str, bytes]]


@dataclass(frozen=True)
class Format:
    """A file or folder: how it is written, read back, and how closely it has to follow the PyTorch model."""

    name: str
    suffix: str
    summary: str
    backend: str  # what runs the file
    export: Callable[[ExportJob], Content]
    load: Callable[[Path, int], LoadedModel]
    min_agreement: float  # share of the check images that get the PyTorch model's class
    max_difference: float | None  # of any logit, as a share of the largest logit; None: only the class counts
    seal: Seal | None = None  # adds card, known answers and seal, where the format can carry them
    seal_folder: FolderSeal | None = None  # the same for a folder, which has known answers from the first
    footprint: Callable[[Path, LoadedModel], Mapping[str, Any]] | None = None  # memory and work of one inference
    carries_code: bool = False  # opening the file may run whatever its maker wrote into it
    check: Callable[[Path], None] | None = None  # of a folder: what it says of itself, before anything of it runs
    files_in: Callable[[Path], Sequence[str]] | None = None  # names of its files in a folder; all else is its user's
    needs: Callable[[], object] | None = None  # raises LenetEdgeError where what makes or runs the file is missing

    def files_at(self, path: Path) -> list[Path]:
        """The file at `path`, or the files of a folder there that this format writes, present or not."""
        return [path / name for name in self.files_in(path)] if self.files_in else [path]


@dataclass(frozen=True)
class Artifact:
    """An exported file or folder, reloaded and compared with the PyTorch model on the job's check images.

    `bytes` and `sha256` are `size_of` and `sha256_of` its content; `footprint` is what it takes on a device, for the
    formats that can say. `card` is what the job measured on a test set; a file that did not pass there is at a path
    with `.rejected` in it, and `reason` says why.
    """

    format: str
    path: Path
    bytes: int
    sha256: str
    agreement: float
    max_abs_logit_difference: float
    card: Mapping[str, Any] | None
    passed: bool
    footprint: Mapping[str, Any] | None = None
    reason: str | None = None


FORMATS = {
    row.name: row
    for row in (
        Format(
            "torchscript", ".torchscript.pt", "TorchScript, traced and frozen (legacy)", "torchscript",
            torchscript.export, torchscript.load, min_agreement=0.999, max_difference=1e-4, carries_code=True,
        ),
        Format(
            "onnx", ".onnx", "ONNX, float32, preprocessing inside", "onnxruntime",
            onnx.export, onnx.load, min_agreement=0.999, max_difference=1e-4, seal=onnx.seal,
        ),
        Format(
            "int8", ".int8.onnx", "ONNX, static int8, the same answers on every CPU", "onnxruntime",
            int8.export, onnx.load, min_agreement=0.97, max_difference=None, seal=onnx.seal,
        ),
        Format(
            "pt2", ".pt2", "torch.export's archive, the successor of TorchScript", "pytorch",
            pt2.export, pt2.load, min_agreement=0.999, max_difference=1e-4, carries_code=True,
        ),
        Format(
            "ort", ".ort", "onnxruntime's own format, float32, for minimal builds", "onnxruntime",
            ort.export, ort.load, min_agreement=0.999, max_difference=1e-4, seal=ort.seal,
        ),
        Format(
            "tflite", ".tflite", "TFLite, static int8, for LiteRT, TensorFlow Lite Micro and NPUs", "litert",
            tflite.export, tflite.load, min_agreement=0.97, max_difference=None, seal=tflite.seal,
            needs=schema,
        ),
        Format(
            tflite_float.NAME, ".float.tflite", "TFLite, float32, preprocessing inside, for LiteRT", "litert",
            tflite_float.export, tflite.load, min_agreement=0.999, max_difference=1e-4, seal=tflite_float.seal,
            needs=schema,
        ),
        Format(
            "c", "-c", "a folder of C99 for microcontrollers and native apps, int8's answers bit for bit", "c",
            c.export, c.load, min_agreement=0.97, max_difference=None, footprint=c.footprint,
            carries_code=True, check=stated.check_c, files_in=naming.files_in, needs=toolchain.find_compiler,
        ),
        Format(
            "wasm", "-wasm", "the same C as WebAssembly for browsers and Node, with its loader", "node",
            wasm.export, wasm.load, min_agreement=0.97, max_difference=None, seal_folder=wasm.seal,
            carries_code=True, check=stated.check_wasm, files_in=wasm.files_in, needs=wasm.check_tools,
        ),
    )
}  # fmt: skip


def export(job: ExportJob, format_name: str, path: Path, reference: NDArray[np.float32]) -> Artifact:
    """Write one file, reload it, and compare it with `reference`, the PyTorch model's logits on the check images.

    A file that fails the job's measurement is kept as `*.rejected.*`, its reason beside it in `*.rejected.txt`, and
    the artifact says so; one that disagrees with the reference is kept in the same way, and GateError raised. What
    stood at `path` before stays there. A file that passes replaces it, and what was rejected before is removed. In 8
    bits classes may change, so there the measurement decides where there is one, and else the share that may.
    """
    row = FORMATS[format_name]
    content = row.export(job)
    with tempfile.TemporaryDirectory() as place:
        # Reloaded from a disk, as an app does, but not from where an app might already look for it.
        temporary = Path(place) / path.name
        write_content(temporary, content)
        model = row.load(temporary, 1)
        agreement, difference, complaint = _compared(
            row, path.name, model.logits(job.check_pixels), reference, measured=job.measure is not None
        )
        if complaint:
            kept = _keep_rejected(row, path, content, complaint)
            raise GateError(f"{complaint}; it is kept as {kept.name}")
        measurement = job.measure(model) if job.measure else Measurement(card=None, passed=True)
        footprint = row.footprint(temporary, model) if row.footprint else None
        if row.seal and isinstance(content, bytes):
            content = row.seal(content, job, model, measurement.card)
        elif row.seal_folder and not isinstance(content, bytes):
            content = row.seal_folder(content, measurement.card)
    if row.carries_code:
        own_files.remember(sha256_of(content))
    if measurement.passed:
        written = path
        write_content(written, content, _earlier(row, path))
        atomic.remove(rejected_path(path), _earlier(row, rejected_path(path)))
        atomic.remove(_reason_path(path), ())
    else:
        written = _keep_rejected(row, path, content, measurement.reason or "it failed its measurement")
    return Artifact(
        row.name,
        written,
        size_of(content),
        sha256_of(content),
        agreement,
        difference,
        measurement.card,
        measurement.passed,
        footprint,
        measurement.reason,
    )


def write_content(path: Path, content: Content, without: Iterable[str] = ()) -> None:
    """Write a file, or the files of a folder, whole or not at all; files `without` do not stay in the folder."""
    if isinstance(content, bytes):
        atomic.write_bytes(path, content)
    else:
        atomic.write_folder(path, content, without)


def read_content(path: Path) -> Content:
    """The bytes of an exported file, or of a folder's files by their names: of those that the format writes there."""
    if not path.is_dir():
        return read_bytes(path)
    return {file.name: read_bytes(file) for file in format_of(path).files_at(path) if file.is_file()}


def size_of(content: Content) -> int:
    """Bytes of a file, or of all files of a folder."""
    return len(content) if isinstance(content, bytes) else sum(map(len, content.values()))


def sha256_of(content: Content) -> str:
    """SHA-256 of a file's bytes; of a folder, over a line "SHA-256 of the file, two spaces, name" for each, by name.

    The latter is what `sha256sum * | sha256sum` prints in a folder as it was written.
    """
    if not isinstance(content, bytes):
        lines = [f"{hashlib.sha256(content[name]).hexdigest()}  {name}\n" for name in sorted(content)]
        content = "".join(lines).encode()
    return hashlib.sha256(content).hexdigest()


def rejected_path(path: Path) -> Path:
    """Where a file is kept that failed its measurement: `net.int8.onnx` becomes `net.int8.rejected.onnx`."""
    return path.with_suffix(".rejected" + path.suffix)


def _earlier(row: Format, folder: Path) -> list[str]:
    """The names of the files that an earlier export left in a folder: its network may have had another name."""
    return [file.name for file in row.files_at(folder)] if folder.is_dir() else []


def _reason_path(path: Path) -> Path:
    return rejected_path(path).with_suffix(".txt")


def _keep_rejected(row: Format, path: Path, content: Content, reason: str) -> Path:
    """Write a file or folder beside the one that it was to be, and why; return where it is."""
    kept = rejected_path(path)
    write_content(kept, content, _earlier(row, kept))
    atomic.write_text(_reason_path(path), reason + "\n")
    return kept


def _compared(
    row: Format, name: str, logits: NDArray[np.float32], reference: NDArray[np.float32], *, measured: bool
) -> tuple[float, float, str | None]:
    """Agreement, greatest difference, and a complaint where the format allows less, or for a NaN.

    `measured`: a measurement follows, which decides for a format that may change classes.
    """
    agreement = float((logits.argmax(1) == reference.argmax(1)).mean())
    difference = float(np.abs(logits - reference).max())
    allowed = np.inf if row.max_difference is None else row.max_difference * max(1.0, np.abs(reference).max())
    least = 0.0 if measured and row.max_difference is None else row.min_agreement
    if agreement >= least and difference <= allowed and np.isfinite(difference):
        return agreement, difference, None
    complaint = (
        f"{name} disagrees with its network on {len(logits)} images: agreement {agreement:.4f} "
        f"(at least {least}), largest logit difference {difference:.2g} (at most {allowed:.2g})"
    )
    return agreement, difference, complaint


def checked_names(names: Sequence[str]) -> list[str]:
    """The names, each once; raises ValueError for one that no format has."""
    for name in names:
        if name not in FORMATS:
            raise ValueError(f"no format is called {name!r}; {did_you_mean(name, FORMATS)}choose {', '.join(FORMATS)}")
    return list(dict.fromkeys(names))


def check_tools(names: Sequence[str]) -> None:
    """Raise LenetEdgeError where a package or a tool that one of these formats needs is missing."""
    for needs in (FORMATS[name].needs for name in names):
        if needs:
            needs()


def format_of(path: Path) -> Format:
    """The format of a file by its name: the longest suffix of the table that it ends in."""
    rows = [row for row in FORMATS.values() if path.name.endswith(row.suffix)]
    if not rows and (kind := kind_of(path)):
        exported = path.name.removesuffix(kind.suffix) + FORMATS[kind.format].suffix
        raise ModelFileError(
            f"{path} is a package for {kind.name}; what it was made from is verified and measured: give "
            f"{path.with_name(exported)}"
        )
    if not rows:
        known = [row.suffix for row in FORMATS.values()]
        near = did_you_mean(path.suffix, known)
        raise ModelFileError(f"{path} has no known ending; {near}exported files end in {', '.join(known)}")
    return max(rows, key=lambda row: len(row.suffix))


def is_export(path: Path) -> bool:
    """Whether a path has a format's ending; of a folder, also whether one of the format's files is in it."""
    rows = [row for row in FORMATS.values() if path.name.endswith(row.suffix)]
    return any(not row.files_in or any(file.is_file() for file in row.files_at(path)) for row in rows)
