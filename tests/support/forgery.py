"""Files whose metadata somebody wrote anew and sealed: behind a valid seal anything may stand."""

import io
import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hostile_text import PIECES
from lenet_edge_exporters.c import stated, wasm
from lenet_edge_exporters.c.constants import declaration
from lenet_edge_runtime import onnx_file, proof
from lenet_edge_runtime.spec import PREFIX

DEEP = "[" * 100_000 + "]" * 100_000
ANYTHING = (
    "",
    "null",
    "true",
    "0",
    "-1",
    "1",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1e999",
    "9" * 5000,
    str(2**70),
    "1.5",
    '""',
    '"x"',
    '"../../x"',
    '"\\u0000"',
    '"\\ud800"',
    '"\\u202e\\u001b[31m"',
    "[]",
    "{}",
    "[1]",
    "[null]",
    "[[]]",
    '["a"]',
    '["a", "a"]',
    '["a", "b"]',
    '{"a": 1}',
    "{",
    "nul",
    "\x00",
    "\x1b[31m",
    '"' + "x" * 100_000 + '"',
    DEEP,
    '{"a":' * 50_000 + "1" + "}" * 50_000,
    json.dumps(["x"] * 100_000),
    "[1e400]",
    "[NaN, NaN]",
    "[0]",
    "[-1]",
    "[1, 2, 3, 4]",
)
KEYS = (
    "labels",
    "input",
    "padding",
    "mean",
    "std",
    "polarity",
    "fit",
    "format",
    "versions",
    "recipe",
    "dataset",
    "data_md5s",
    "weights_sha256",
    "parameters",
    "known_answers",
    "card",
    "float_nodes",
    "initializers_sha256",
    "scratch_bytes",
    "macs",
)
FIELDS: dict[str, tuple[str, ...]] = {
    "input": ("dtype", "shape", "layout"),
    "known_answers": ("shape", "pixels", "logits", "tolerance"),
    "card": ("accuracy", "images", "dataset", "split", "drop_ci95_pp", "accuracy_ci95", "max_drop_pp", "mcnemar_p"),
}
SHAPES = (
    [0, 1, 28, 28],
    [1, 1, 28],
    [-1, 1, 28, 28],
    [1, 1, 27, 28],
    [2**40, 1, 28, 28],
    [16, 1, 2**31, 2**31],
    [1.0, 1, 28, 28],
)


def forged_value(metadata: Mapping[str, str], generator: np.random.Generator) -> tuple[str, str | None]:
    """A key and its new text, None for a key that is taken out."""
    key = str(generator.choice(KEYS))
    stated = metadata.get(PREFIX + key)
    kind = generator.integers(4)
    if kind == 0 and stated is not None:
        return key, None
    if kind == 1 and key in FIELDS and stated is not None:
        fields = json.loads(stated)
        chosen = str(generator.choice(FIELDS[key]))
        if generator.random() < 0.15:
            fields.pop(chosen, None)
            return key, json.dumps(fields)
        fields[chosen] = "HERE"
        value = ANYTHING[generator.integers(len(ANYTHING))] or "null"
        if chosen == "shape" and generator.random() < 0.6:
            value = json.dumps(SHAPES[generator.integers(len(SHAPES))])
        return key, json.dumps(fields).replace('"HERE"', value)
    if kind == 2 and stated:  # damaged as files are
        letters = list(stated[:20_000])
        for _ in range(generator.integers(1, 5)):
            letters[generator.integers(len(letters))] = chr(generator.integers(32, 127))
        return key, "".join(letters)
    if key == "labels" and stated is not None:  # as many, each of what breaks writers
        count = len(json.loads(stated))
        pieces = generator.choice(np.array(PIECES, object), (count, 3))
        return key, json.dumps([f"{number}{''.join(row)}" for number, row in enumerate(pieces)])
    return key, str(ANYTHING[generator.integers(len(ANYTHING))])


def changed(metadata: Mapping[str, str], key: str, text: str | None) -> dict[str, str]:
    rest = {name: value for name, value in metadata.items() if name != PREFIX + key}
    return rest if text is None else {**rest, PREFIX + key: text}


def forge(path: Path, target: Path, key: str, text: str | None, generator: np.random.Generator) -> None:
    """Write the file or folder at `path` to `target` with one value changed, and seal it again."""
    if path.is_dir():
        _forge_folder(path, target, key, text)
    elif path.suffix == ".onnx":
        target.write_bytes(_forged_onnx(path.read_bytes(), key, text, generator))
    elif path.suffix == ".ort":
        target.write_bytes(_forged_ort(path.read_bytes(), key, text))
    else:
        target.write_bytes(_forged_archive(path.read_bytes(), key, text))


def _forged_onnx(content: bytes, key: str, text: str | None, generator: np.random.Generator) -> bytes:
    from onnx import ModelProto, helper

    model = ModelProto.FromString(content)
    metadata = onnx_file.metadata_of(content)
    entries = changed(metadata, key, text)
    for name in (proof.SEAL, proof.INITIALIZERS):
        entries.pop(name, None)
    if key == "initializers_sha256" and text is not None:
        entries[proof.INITIALIZERS] = text
    del model.metadata_props[:]
    helper.set_model_props(model, {name: value for name, value in entries.items() if _is_text(value)})
    plain = model.SerializeToString()
    if generator.random() < 0.1:  # bytes that are no UTF-8, which a protocol buffer's writer would refuse
        plain = _raw_entry(plain, (PREFIX + key).encode(), b"\xff\xfe" + (text or "").encode("utf-8", "replace"))
    return proof.seal(plain, {})


def _raw_entry(content: bytes, key: bytes, value: bytes) -> bytes:
    pair = onnx_file._field(1, key) + onnx_file._field(2, value)
    return content + onnx_file._field(14, pair)


def _is_text(value: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _forged_ort(content: bytes, key: str, text: str | None) -> bytes:
    """In a FlatBuffer a text keeps its length: what is shorter is filled with spaces, what is longer is cut."""
    from lenet_edge_runtime.sessions import open_content

    stated = dict(open_content(content, "x").get_modelmeta().custom_metadata_map).get(PREFIX + key)
    if stated is None or len(stated) < 2:
        return content
    old, new = stated.encode(), (text or "null").encode("utf-8", "replace")
    body = content[:-64].replace(old, new[: len(old)].ljust(len(old)), 1)
    return proof.seal_end(body)


def _forge_folder(path: Path, target: Path, key: str, text: str | None) -> None:
    if not (path / wasm.METADATA).is_file():
        _forge_c(path, target, key, text)
        return
    files, metadata = wasm.read(path)
    target.mkdir()
    for name, content in wasm._sealed(files, changed(metadata, key, text)).items():
        (target / name).write_bytes(content)


def _forge_c(path: Path, target: Path, key: str, text: str | None) -> None:
    shutil.copytree(path, target)
    (source,) = target.glob("*_metadata.c")
    entries = changed(stated.read_c(path), key, text)
    declared = declaration("metadata", np.frombuffer(json.dumps(entries).encode() + b"\0", np.uint8)).rstrip()
    source.write_bytes(stated.DECLARED.sub(declared.encode(), source.read_bytes()))


def _forged_archive(content: bytes, key: str, text: str | None) -> bytes:
    rewritten = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(rewritten, "w") as target:
        for entry in source.infolist():
            inner = source.read(entry)
            if entry.filename.endswith("lenet_edge.json"):
                inner = json.dumps(changed(json.loads(inner), key, text)).encode()
            target.writestr(entry.filename, inner)
    return rewritten.getvalue()
