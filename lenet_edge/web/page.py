"""Writing the page's folder: a model, an engine, what the page has to know of both. The same model, the same bytes."""

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lenet_edge.web.engines import DEFAULT_ENGINE, ENGINES, Engine, Exported, Prepared, check_cdn, engine_for
from lenet_edge.web.static_files import PAGE, static_file
from lenet_edge_exporters import atomic
from lenet_edge_runtime import ModelSpec
from lenet_edge_runtime.errors import ModelFileError, WebError
from lenet_edge_runtime.metadata import parse, read_optional, table, text
from lenet_edge_runtime.proof import KNOWN_ANSWERS, KnownAnswers, card_of, known_answers
from lenet_edge_runtime.reading import read_bytes, real_path
from lenet_edge_runtime.spec import input_type_of

MANIFEST = "files.json"  # the SHA-256 of every file of the folder but itself


@dataclass(frozen=True)
class WebPage:
    """A folder that was written: `bytes` of all its files, and what to say of where the engine comes from."""

    folder: Path
    model: Path
    engine: str
    files: int
    bytes: int
    remark: str


def check_folder(folder: Path) -> None:
    """Raise WebError where `folder` holds something that is no page of ours."""
    if folder.exists() and not folder.is_dir():
        raise WebError(f"{folder} is a file; give --web a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise WebError(f"{folder} is not empty and holds no page of 'lenet-edge export --web'; give --web a new folder")


def write_page(path: Path, folder: Path, engine: str = DEFAULT_ENGINE, cdn: str | None = None) -> WebPage:
    """Write the page that runs what was exported to `path`, a network that takes grey uint8 pixels, into `folder`.

    Files of a former page there are replaced, and removed where they are no longer needed. Raises ModelFileError for
    a model that cannot be shown, WebError for a folder or an engine that cannot be used.
    """
    row = ENGINES[engine]
    check_folder(folder)
    check_cdn(row, cdn)
    _check_engine(row, path)
    model = row.read(path)
    spec, known = _evidence(model, path, row)
    prepared = row.prepare(model, cdn)
    files = {
        **{name: static_file(name) for name in PAGE},
        **prepared.files,
        model.name: model.content,
        "known-answers.json": _json(_known_answers(known)),
    }
    files["model.json"] = _json(_description(model, spec, files, engine, prepared))
    files["index.html"] = _allowing(files["index.html"], prepared.origin)
    _write(folder, files)
    return WebPage(folder, path, engine, len(files) + 1, sum(map(len, files.values())), prepared.remark)


def _check_engine(engine: Engine, path: Path) -> None:
    """Raise WebError for what was exported for another engine."""
    other = engine_for(path)
    if other is not None and other is not engine:
        raise WebError(
            f"{path} is run by --engine {other.name}, not by {engine.name}: give --engine {other.name}, "
            f"or a run instead, which is then exported for {engine.name}"
        )


def _allowing(html: bytes, origin: str) -> bytes:
    """The page with `origin` ("" for none) in its security policy, and in what it says of it.

    Nothing is run from there: what was fetched and found to be what was pinned is run as a blob.
    """
    scripts, sources, words = (" blob:", f" {origin}", f" and {origin}") if origin else ("", "", "")
    fields = {b"{{scripts}}": scripts, b"{{origin}}": sources, b"{{other}}": words}
    for field, words_there in fields.items():
        html = html.replace(field, words_there.encode())
    return html


def _evidence(model: Exported, path: Path, engine: Engine) -> tuple[ModelSpec, KnownAnswers]:
    """What the model says of itself and its known answers; raises ModelFileError where it proves nothing."""
    metadata = model.metadata
    try:
        spec = ModelSpec.from_metadata(metadata)
        if KNOWN_ANSWERS not in metadata or not model.is_whole:
            raise ModelFileError("it carries no known answers, or was changed after it was written")
        known = known_answers(metadata, "the file")
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}; export it with 'lenet-edge export --format {engine.format}'") from None
    if spec.channels != 1 or input_type_of(metadata) != "uint8":
        raise ModelFileError(
            f"{path} takes {input_type_of(metadata)} images of {spec.channels} channel(s); the web page gives "
            f"uint8 of 1 channel: export without --input float32"
        )
    return spec, known


def _known_answers(known: KnownAnswers) -> dict[str, Any]:
    return {
        "shape": list(known.pixels.shape),
        "pixels": base64.b64encode(known.pixels.tobytes()).decode(),
        "logits": base64.b64encode(known.logits.astype("<f4").tobytes()).decode(),
        "tolerance": known.tolerance,
    }


def _description(
    model: Exported, spec: ModelSpec, files: dict[str, bytes], engine: str, prepared: Prepared
) -> dict[str, Any]:
    """What the page has to know (model.json)."""
    card = card_of(model.metadata)
    said = {key: read_optional(model.metadata, key, text) for key in ("recipe", "dataset", "format")}
    return {
        "title": f"{said['recipe']} on {said['dataset']}, {said['format']}" if all(said.values()) else model.name,
        "file": model.name,
        "bytes": len(model.content),
        "sha256": hashlib.sha256(model.content).hexdigest(),
        "labels": list(spec.labels),
        "height": spec.height,
        "width": spec.width,
        "polarity": spec.polarity,
        "fit": spec.fit,
        "threshold": spec.threshold,
        "accuracy": {key: card[key] for key in ("dataset", "split", "images", "accuracy")} if card else None,
        "engine": {
            "name": engine,
            "title": prepared.title,
            "module": prepared.module,
            "source": prepared.source,
            "sha256": hashlib.sha256(files[prepared.source]).hexdigest(),
            "bytes": prepared.download,
        },
    }


def _write(folder: Path, files: dict[str, bytes]) -> None:
    former = _former_files(folder)
    for name, content in files.items():
        atomic.write_bytes(folder / name, content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    atomic.write_bytes(folder / MANIFEST, _json(digests))
    for name in former - set(files):
        (folder / name).unlink(missing_ok=True)
        parent = (folder / name).parent
        if parent != folder and parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()


def _former_files(folder: Path) -> set[str]:
    """The files of the page that lies in `folder`; names that would lead out of it are none of ours."""
    try:
        names = table(text)(parse(read_bytes(folder / MANIFEST)))
    except FileNotFoundError:
        return set()
    except (OSError, ValueError):
        raise WebError(f"{folder / MANIFEST} is damaged; give --web a new folder") from None
    root = real_path(folder)
    return {str(name) for name in names if real_path(root / str(name)).is_relative_to(root)}


def _json(document: Any) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
