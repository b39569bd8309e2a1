"""The table of engines: what can run a model in a web page. The command line and the tests derive from it.

An engine is a plain module with `async load(source)` -> { predict(pixels) -> logits } (see static/engine-ort.mjs). To
add one: a function that reads what it runs, one that gives its files, and a row here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lenet_edge.web import onnxruntime_web
from lenet_edge_exporters.c import wasm
from lenet_edge_runtime import onnx_file
from lenet_edge_runtime.errors import ModelFileError, WebError
from lenet_edge_runtime.proof import is_sealed
from lenet_edge_runtime.sessions import read_model


@dataclass(frozen=True)
class Exported:
    """An exported file or folder, read: the one file of it that holds the network, and what it says of itself.

    `is_whole`: its seal is there and unbroken. `others` are files beside the network's that a page needs, by name.
    """

    name: str
    content: bytes
    metadata: dict[str, str]
    is_whole: bool
    others: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """An engine made ready for one model.

    `files` are its own by their path in the folder, among them `module`; `source` is the file that `load` is given,
    in the folder too; `download` counts the bytes that a browser loads to run it, `source` among them; `origin` is
    where else it loads from ("" for nowhere), which the page's security policy has to allow.
    """

    title: str
    files: dict[str, bytes]
    module: str
    source: str
    download: int
    origin: str
    remark: str


@dataclass(frozen=True)
class Engine:
    """A way to run a model in a browser.

    `format` is what is exported for it, `runs` tells by the look of a path whether this engine runs it, and `read`
    raises ModelFileError for what it does not. `prepare` takes what was read; its second argument is an address to
    load the engine from, or None: only for an engine that `has_cdn`.
    """

    name: str
    summary: str
    format: str
    runs: Callable[[Path], bool]
    read: Callable[[Path], Exported]
    prepare: Callable[[Exported, str | None], Prepared]
    has_cdn: bool = False


def _is_onnx(path: Path) -> bool:
    return path.suffix == ".onnx"


def _read_onnx(path: Path) -> Exported:
    content = read_model(path)
    try:
        return Exported(path.name, content, onnx_file.metadata_of(content), is_sealed(content))
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None


def _prepare_ort(model: Exported, cdn: str | None) -> Prepared:
    runtime = onnxruntime_web.obtain(cdn)
    return Prepared(
        title=f"onnxruntime-web {onnxruntime_web.VERSION}",
        files={**onnxruntime_web.modules(runtime), **runtime.files},
        module="engine.mjs",
        source=model.name,
        download=sum(row.bytes for row in onnxruntime_web.FILES) + len(model.content),
        origin=runtime.origin,
        remark=runtime.remark,
    )


def _is_wasm_folder(path: Path) -> bool:
    return (path / wasm.METADATA).is_file()


def _read_wasm_folder(path: Path) -> Exported:
    files, metadata = wasm.read(path)
    loader = {wasm.LOADER: files[wasm.LOADER]}
    return Exported(wasm.MODULE, files[wasm.MODULE], metadata, wasm.is_sealed(files), loader)


def _prepare_wasm(model: Exported, _cdn: str | None) -> Prepared:
    download = len(model.content) + sum(map(len, model.others.values()))
    return Prepared(
        title="lenet-edge's own WebAssembly",
        files=model.others,
        module=wasm.LOADER,
        source=model.name,
        download=download,
        origin="",
        remark=f"{wasm.MODULE} and {wasm.LOADER}: {download / 1e3:.1f} kB, the network and everything that runs it",
    )


ENGINES = {
    row.name: row
    for row in (
        Engine(
            "ort", f"onnxruntime-web {onnxruntime_web.VERSION}, WebAssembly; runs any ONNX file", "int8",
            _is_onnx, _read_onnx, _prepare_ort, has_cdn=True,
        ),
        Engine(
            "wasm", "the network's own WebAssembly (format wasm), in place of onnxruntime-web's 14 MB", "wasm",
            _is_wasm_folder, _read_wasm_folder, _prepare_wasm,
        ),
    )
}  # fmt: skip
DEFAULT_ENGINE = "ort"


def engine_for(path: Path) -> Engine | None:
    """The engine that runs what was exported to `path`; None for what none of them runs, such as a run."""
    return next((row for row in ENGINES.values() if row.runs(path)), None)


def check_cdn(engine: Engine, cdn: str | None) -> None:
    """Raise WebError where an address is given for an engine that loads nothing from elsewhere."""
    if cdn is not None and not engine.has_cdn:
        raise WebError(
            f"--cdn says where onnxruntime-web is, which --engine {engine.name} does not use: leave --cdn out"
        )
