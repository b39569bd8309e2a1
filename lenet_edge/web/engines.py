"""The table of engines: what can run a model in a web page. The command line and the tests derive from it.

An engine is a plain module with `async load(source)` -> { predict(pixels) -> logits } (see static/engine-ort.mjs). To
add one: a function that gives its files, and a row here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lenet_edge.web import onnxruntime_web


@dataclass(frozen=True)
class Engine:
    """A way to run a model in a browser; `prepare` takes the model's file name and bytes and a CDN address or None."""

    name: str
    summary: str
    prepare: Callable[[str, bytes, str | None], "Prepared"]


@dataclass(frozen=True)
class Prepared:
    """An engine made ready for one model.

    `files` are its own by their path in the folder, among them `module`; `source` is the file that `load` is given,
    in the folder too; `download` counts the bytes that a browser loads to run it, model apart; `origin` is where
    else it loads from ("" for nowhere), which the page's security policy has to allow.
    """

    title: str
    files: dict[str, bytes]
    module: str
    source: str
    download: int
    origin: str
    remark: str


def _prepare_ort(model_name: str, _content: bytes, cdn: str | None) -> Prepared:
    runtime = onnxruntime_web.obtain(cdn)
    return Prepared(
        title=f"onnxruntime-web {onnxruntime_web.VERSION}",
        files={"engine.mjs": onnxruntime_web.module(runtime.address), **runtime.files},
        module="engine.mjs",
        source=model_name,
        download=sum(row.bytes for row in onnxruntime_web.FILES),
        origin=runtime.origin,
        remark=runtime.remark,
    )


ENGINES = {
    row.name: row
    for row in (
        Engine("ort", f"onnxruntime-web {onnxruntime_web.VERSION}, WebAssembly; runs any ONNX file", _prepare_ort),
    )
}
