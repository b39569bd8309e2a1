"""Where answers go: to standard output, or into a file that is whole or not there."""

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lenet_edge.predicting.output_formats import FORMATS, as_document
from lenet_edge_exporters.atomic import staged
from lenet_edge_runtime.errors import MissingExtraError

Write = Callable[[str], object]
GROUP = 32 * 2**20  # characters of lines that become a group of rows in a Parquet file


@contextlib.contextmanager
def writer(path: Path | None, format_name: str, split: bool = False) -> Iterator[Write]:
    """A function that takes lines of answers, or of digits; `path` None is standard output."""
    head = FORMATS[format_name].head_of(split)
    if path is None:
        sys.stdout.write(head)
        yield sys.stdout.write
    elif format_name == "parquet":
        with staged(path) as temporary, _parquet(temporary) as write:
            yield write
    else:
        with staged(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(head)
            yield file.write


@contextlib.contextmanager
def document() -> Iterator[Write]:
    """The same for one JSON document on standard output, held back until it is whole: a model may fail half-way."""
    lines: list[str] = []
    yield lambda text: lines.extend(text.splitlines())
    sys.stdout.write(as_document(lines))


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    pyarrow, schema = parquet_schema()
    lines, held = io.StringIO(), 0

    def flush() -> None:
        nonlocal held
        if not held:
            return
        options = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
        content = io.BytesIO(lines.getvalue().encode())
        read = pyarrow.json.ReadOptions(use_threads=False, block_size=len(content.getvalue()) + 1)
        file.write_table(pyarrow.json.read_json(content, read_options=read, parse_options=options).select(schema.names))
        lines.seek(0)
        lines.truncate()
        held = 0

    def write(text: str) -> None:
        nonlocal held
        lines.write(text)
        held += len(text)
        if held >= GROUP:
            flush()

    with pyarrow.parquet.ParquetWriter(path, schema) as file:
        yield write
        flush()


def parquet_schema() -> tuple[Any, Any]:
    """pyarrow and the columns of answers; raises MissingExtraError without it."""
    try:
        import pyarrow
        import pyarrow.json
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise MissingExtraError("Parquet needs pyarrow: type pip install 'lenet-edge[hf]', or write .jsonl") from None
    text, number = pyarrow.string(), pyarrow.float64()
    return pyarrow, pyarrow.schema(
        {
            "path": text, "label": text, "index": pyarrow.int32(), "probability": number,
            "probabilities": pyarrow.list_(number), "inverted": pyarrow.bool_(), "known": pyarrow.bool_(),
            "labels": pyarrow.list_(text),
        }
    )  # fmt: skip
