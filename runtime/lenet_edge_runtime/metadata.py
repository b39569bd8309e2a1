"""The one way a file's metadata is read: text that somebody wrote, and behind a valid seal anybody may have.

Metadata is flat text, each value JSON. A value may be missing, no JSON, nested a thousand deep, NaN, a number with five
thousand digits, or of another type than its key has: each of them is one ModelFileError that names the key.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.printable import printable

PREFIX = "lenet_edge."  # of every metadata key of ours, so that a foreign file is not taken for one of ours
SHOWN = 100  # characters of what is wrong that a message quotes
GREATEST = 2**53  # of whole numbers: JSON's readers agree on no more

T = TypeVar("T")
Reader = Callable[[Any], T]  # of a parsed value; raises ValueError for another


def parse(text: str | bytes) -> Any:
    """JSON without NaN and infinity, and without numbers that no float64 holds; raises ValueError for anything else."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def read(metadata: Mapping[str, str], key: str, reader: "Reader[T]", default: T | None = None) -> T:
    """The value at `PREFIX + key` as `reader` takes it; `default` where it is missing or null and there is one.

    Raises ModelFileError where it is missing, or no value of that kind.
    """
    try:
        text = metadata.get(PREFIX + key)
        value = None if text is None else parse(text)
        if value is None and default is not None:
            return default
        if text is None:
            raise ValueError("it is missing")
        return reader(value)
    except ValueError as error:
        raise ModelFileError(f"the file's metadata is damaged: {key}: {shortened(str(error))}") from None


def read_optional(metadata: Mapping[str, str], key: str, reader: "Reader[T]") -> T | None:
    """As `read`, and None where the value is missing or null."""
    return None if metadata.get(PREFIX + key, "null") == "null" else read(metadata, key, reader)


def of_text(content: str | bytes) -> dict[str, str]:
    """Metadata that is one JSON object of texts, as folders and archives carry it; raises ValueError for another."""
    found = parse(content)
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError("expected an object of texts")
    return found


def text(value: Any) -> str:
    """Text that can be written as UTF-8."""
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {_kind(value)}")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError("halves of surrogate pairs are no text")
    return value


def whole(low: int, high: int = GREATEST) -> "Reader[int]":
    """A whole number from `low` to `high`."""

    def reader(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"expected a whole number from {low} to {high}, got {_kind(value)}")
        return value

    return reader


def number(value: Any) -> float:
    """A finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"expected a number, got {_kind(value)}")
    return float(value)


def items(reader: "Reader[T]", low: int = 0, high: int = 2**16) -> "Reader[tuple[T, ...]]":
    """A list of so many of what `reader` takes."""

    def whole_list(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list) or not low <= len(value) <= high:
            raise ValueError(f"expected a list of {low} to {high}, got {_kind(value)}")
        return tuple(reader(item) for item in value)

    return whole_list


def table(reader: "Reader[T]") -> "Reader[dict[str, T]]":
    """An object whose values are all what `reader` takes."""

    def whole_table(value: Any) -> dict[str, T]:
        if not isinstance(value, dict):
            raise ValueError(f"expected an object, got {_kind(value)}")
        return {text(key): reader(item) for key, item in value.items()}

    return whole_table


def anything(value: Any) -> Any:
    """Whatever it is."""
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{shortened(digits)} is too large")
    return value


def _whole(digits: str) -> int:
    if len(digits) > len(str(GREATEST)) + 1:
        raise ValueError(f"{shortened(digits)} is too large")
    return int(digits)


def _kind(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    return shortened(repr(value))


def shortened(words: str, limit: int = SHOWN) -> str:
    """What a message quotes of text that may be long and hold anything."""
    shown = printable(words)
    return shown if len(shown) <= limit else shown[:limit] + "..."
