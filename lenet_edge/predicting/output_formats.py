"""How `lenet-edge predict` writes its answers: each format as a head and one line of text an answer."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lenet_edge.console import percent
from lenet_edge_runtime.classifier import Prediction
from lenet_edge_runtime.printable import csv_row, printable, to_json

COLUMNS = ("path", "label", "index", "probability", "inverted", "known", "labels")


@dataclass(frozen=True)
class Format:
    """A head, once, and the line of one answer, each with its end of line."""

    head: str
    line: Callable[[Path, Prediction], str]


def text_line(path: Path, prediction: Prediction) -> str:
    """For people."""
    named = prediction.label if prediction.labels is None else " or ".join(prediction.labels)
    return f"{printable(named)}  {percent(prediction.probability):>8}  {printable(path_text(path))}\n"


def csv_line(path: Path, found: Prediction) -> str:
    """A row under COLUMNS, no text of which is a formula to a spreadsheet: see `csv_row`."""
    said = (str(value).lower() for value in (found.inverted, found.known))
    labels = " ".join(found.labels or ())
    return csv_row((path_text(path), found.label, found.index, found.probability, *said, labels))


def json_line(path: Path, prediction: Prediction) -> str:
    """A JSON object, with the probabilities of all labels."""
    fields = {name: value for name, value in vars(prediction).items() if value is not None}
    return to_json({"path": path_text(path), **fields}) + "\n"


def as_document(lines: Iterable[str]) -> str:
    """One JSON document, an array of the objects that `json_line` made."""
    objects = ",\n  ".join(line.rstrip("\n") for line in lines)
    return f"[\n  {objects}\n]\n" if objects else "[]\n"


FORMATS = {
    "text": Format("", text_line),
    "csv": Format(csv_row(COLUMNS), csv_line),
    "jsonl": Format("", json_line),
    "parquet": Format("", json_line),  # the lines, as columns: see `writing.py`
}


def path_text(path: Path) -> str:
    """A path as text that can be written as UTF-8: names on Linux are bytes and need not be."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
