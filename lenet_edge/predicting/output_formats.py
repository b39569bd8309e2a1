"""How `lenet-edge predict` writes its answers: each format as a head and one line of text an answer."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lenet_edge.console import percent
from lenet_edge_runtime.predictions import Located, Prediction
from lenet_edge_runtime.printable import csv_row, printable, to_json

_ANSWER = ("label", "index", "probability", "inverted", "known", "labels")
COLUMNS = ("path", *_ANSWER)
DIGIT_COLUMNS = ("path", "digit", *_ANSWER, "left", "top", "right", "bottom")


@dataclass(frozen=True)
class Format:
    """A head, once, and the lines of one picture, each with its end of line: of its answer, or of its digits'."""

    head: str
    line: Callable[[Path, Prediction], str]
    digits_head: str
    digits: Callable[[Path, Sequence[Located]], str]

    def head_of(self, split: bool) -> str:
        """The head of answers, or of digits."""
        return self.digits_head if split else self.head


def text_line(path: Path, prediction: Prediction) -> str:
    """For people."""
    named = prediction.label if prediction.labels is None else " or ".join(prediction.labels)
    return f"{printable(named)}  {percent(prediction.probability):>8}  {printable(path_text(path))}\n"


def text_digits(path: Path, digits: Sequence[Located]) -> str:
    """A line a digit, its box behind the picture's name."""
    if not digits:
        return f"no digits    {printable(path_text(path))}\n"
    return "".join(f"{text_line(path, digit)[:-1]}  {','.join(map(str, digit.box))}\n" for digit in digits)


def csv_line(path: Path, found: Prediction) -> str:
    """A row under COLUMNS, no text of which is a formula to a spreadsheet: see `csv_row`."""
    return csv_row((path_text(path), *_cells(found)))


def csv_digits(path: Path, digits: Sequence[Located]) -> str:
    """A row a digit under DIGIT_COLUMNS; a picture without one has none."""
    rows = ((path_text(path), number, *_cells(digit), *digit.box) for number, digit in enumerate(digits, 1))
    return "".join(map(csv_row, rows))


def _cells(found: Prediction) -> tuple[str | int | float, ...]:
    said = (str(value).lower() for value in (found.inverted, found.known))
    return found.label, found.index, found.probability, *said, " ".join(found.labels or ())


def json_line(path: Path, prediction: Prediction) -> str:
    """A JSON object, with the probabilities of all labels."""
    return to_json({"path": path_text(path), **_fields(prediction)}) + "\n"


def json_digits(path: Path, digits: Sequence[Located]) -> str:
    """A JSON object a picture: its digits in the order of reading, each with its box."""
    return to_json({"path": path_text(path), "digits": list(map(_fields, digits))}) + "\n"


def _fields(prediction: Prediction) -> dict[str, object]:
    return {name: value for name, value in vars(prediction).items() if value is not None}


def as_document(lines: Iterable[str]) -> str:
    """One JSON document, an array of the objects that `json_line` made."""
    objects = ",\n  ".join(line.rstrip("\n") for line in lines)
    return f"[\n  {objects}\n]\n" if objects else "[]\n"


FORMATS = {
    "text": Format("", text_line, "", text_digits),
    "csv": Format(csv_row(COLUMNS), csv_line, csv_row(DIGIT_COLUMNS), csv_digits),
    "jsonl": Format("", json_line, "", json_digits),
    "parquet": Format("", json_line, "", json_digits),  # the lines, as columns: see `writing.py`; no digits
}


def path_text(path: Path) -> str:
    """A path as text that can be written as UTF-8: names on Linux are bytes and need not be."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
