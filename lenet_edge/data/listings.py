"""A list of the user's own images: CSV or JSON lines with a path, a label and, where given, a part of the data."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lenet_edge.data.image_data import ImageData, ImageForm
from lenet_edge.data.own_images import Labelled, assemble, part_named
from lenet_edge_runtime.errors import DataError
from lenet_edge_runtime.reading import read_text

SUFFIXES = (".csv", ".jsonl")
PART_KEYS = ("part", "split")


def load_listing(path: Path, form: ImageForm) -> ImageData:
    """Read the images that a list names, relative to its own folder.

    A CSV has a head with `path`, `label` and perhaps `split` (train, val or test), or no head and two columns; JSON
    lines are objects with the same keys. Raises DataError for a line that lacks a path or a label.
    """
    try:
        text = read_text(path).removeprefix("\ufeff")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a text file that can be read ({error})") from None
    rows = _json_lines(path, text) if path.suffix.lower() == ".jsonl" else _csv_rows(path, text)
    return assemble([_labelled(path, number, row) for number, row in rows], form, path)


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    rows = [row for row in csv.reader(text.splitlines()) if row]
    if not rows:
        raise DataError(f"{path} is empty; it takes one line an image: path,label")
    has_head = "path" in rows[0] and "label" in rows[0]
    head = rows[0] if has_head else ["path", "label", "split"][: len(rows[0])]
    for number, row in enumerate(rows[has_head:], start=1 + has_head):
        yield number, dict(zip(head, row, strict=False))


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"line {number} of {path} is no JSON object ({error})") from None
        yield number, row if isinstance(row, dict) else {}


def _labelled(path: Path, number: int, row: Mapping[str, Any]) -> Labelled:
    image, label = row.get("path"), row.get("label")
    if not isinstance(image, str) or not image or not isinstance(label, str | int) or label == "":
        raise DataError(f"line {number} of {path} lacks a path or a label; it takes path,label and perhaps split")
    part = next((str(row[key]) for key in PART_KEYS if row.get(key)), "")
    return Labelled(path.parent / image, str(label), part_named(part))
