"""How `lenet-edge predict` writes its answers: each format as lines of text, made one answer at a time."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lenet_edge.console import percent
from lenet_edge_runtime.classifier import Prediction
from lenet_edge_runtime.printable import csv_row, printable, to_json

Answers = Iterable[tuple[Path, Prediction]]

COLUMNS = ("path", "label", "index", "probability", "inverted", "known", "labels")


def as_text(answers: Answers) -> Iterator[str]:
    """For people: one line an image."""
    for path, prediction in answers:
        named = prediction.label if prediction.labels is None else " or ".join(prediction.labels)
        yield f"{printable(named)}  {percent(prediction.probability):>8}  {printable(path_text(path))}\n"


def as_csv(answers: Answers) -> Iterator[str]:
    """A head and one row an image, no text of which is a formula to a spreadsheet: see `csv_row`."""
    yield csv_row(COLUMNS)
    for path, found in answers:
        said = (str(value).lower() for value in (found.inverted, found.known))
        labels = " ".join(found.labels or ())
        yield csv_row((path_text(path), found.label, found.index, found.probability, *said, labels))


def as_json_lines(answers: Answers) -> Iterator[str]:
    """One JSON object a line and image, with the probabilities of all labels."""
    for answer in answers:
        yield _object(*answer) + "\n"


def as_json(answers: Answers) -> Iterator[str]:
    """One JSON document, an array of such objects: held back until it is whole, for a model may fail half-way."""
    objects = ",\n  ".join(_object(*answer) for answer in answers)
    yield f"[\n  {objects}\n]\n" if objects else "[]\n"


FORMATS: dict[str, Callable[[Answers], Iterator[str]]] = {"text": as_text, "csv": as_csv, "jsonl": as_json_lines}


def path_text(path: Path) -> str:
    """A path as text that can be written as UTF-8: names on Linux are bytes and need not be."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _object(path: Path, prediction: Prediction) -> str:
    fields = {name: value for name, value in vars(prediction).items() if value is not None}
    return to_json({"path": path_text(path), **fields})
