"""Reading a TFLite file as what it is, a FlatBuffer, by the classes that LiteRT brings."""

from __future__ import annotations

import contextlib
import hashlib
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.extras import require

IDENTIFIER = b"TFL3"


@dataclass(frozen=True)
class TfliteSummary:
    """What a TFLite file consists of; the constants' SHA-256 is over their bytes in the order of the file's buffers."""

    schema_version: int
    operators: dict[str, int]  # how often each occurs
    initializer_bytes: int
    initializers_sha256: str


def is_tflite(content: bytes) -> bool:
    """Whether a file's bytes begin as a TFLite file's do."""
    return content[4:8] == IDENTIFIER


def schema() -> ModuleType:
    """The classes that LiteRT generates from TFLite's schema; MissingExtraError where LiteRT is not installed."""
    require("litert", "a .tflite file")
    from ai_edge_litert import schema_py_generated

    found: ModuleType = schema_py_generated
    return found


def metadata_of(content: bytes) -> dict[str, str]:
    """The metadata entries that are UTF-8 text, by name; raises ModelFileError for what is no TFLite file."""
    with _damage_named():
        model = _model(content)
        entries = {entry.name: _bytes(model.buffers[entry.buffer]) for entry in model.metadata or []}
    texts = {}
    for name, value in entries.items():
        try:
            texts[name.decode()] = value.decode()
        except UnicodeDecodeError:  # another tool's entry, such as TFLite's own table of metadata
            continue
    return texts


def summarise(content: bytes) -> TfliteSummary:
    """Count operators and constants; raises ModelFileError for what is no TFLite file."""
    with _damage_named():
        return _summary(_model(content))


def _summary(model: Any) -> TfliteSummary:
    names = {value: name for name, value in vars(schema().BuiltinOperator).items() if not name.startswith("_")}
    kinds = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    operators = [names[kinds[operator.opcodeIndex]] for graph in model.subgraphs for operator in graph.operators]
    constants = sorted({tensor.buffer for graph in model.subgraphs for tensor in graph.tensors})
    values = [_bytes(model.buffers[place]) for place in constants]
    digest = hashlib.sha256()
    for value in values:
        digest.update(len(value).to_bytes(8, "little") + value)
    return TfliteSummary(
        schema_version=model.version,
        operators=dict(sorted(Counter(operators).items())),
        initializer_bytes=sum(map(len, values)),
        initializers_sha256=digest.hexdigest(),
    )


def _model(content: bytes) -> Any:
    """The file as objects of the schema."""
    if not is_tflite(content):
        raise ModelFileError("not a TFLite file")
    return schema().ModelT.InitFromPackedBuf(content, 0)


@contextlib.contextmanager
def _damage_named() -> Iterator[None]:
    """A damaged file sends its reader anywhere; the message says that it is damaged."""
    try:
        yield
    except (struct.error, LookupError, ValueError, TypeError, AttributeError) as error:
        raise ModelFileError(f"not a whole TFLite file ({error})") from None


def _bytes(buffer: Any) -> bytes:
    return b"" if buffer.data is None else bytes(buffer.data)
