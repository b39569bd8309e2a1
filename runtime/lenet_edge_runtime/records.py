"""JSON to dataclasses: every field is of its type and within its bounds, or one line names the field that is not.

A record that somebody passed on is input like any other: a name in it becomes part of a path, a number a size. Bounds
stand beside the field as `Annotated[int, Within(1, 100)]`; without any, texts and sequences are bounded all the same.
"""

import dataclasses
import json
import math
import types
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

MAX_TEXT = 10_000
MAX_ITEMS = 100_000
MAX_DEPTH = 20  # of what a field of any type holds
Record = TypeVar("Record")
_PLAIN = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


class RecordError(ValueError):
    """A record that cannot be what it is said to be; the message names the field."""


@dataclass(frozen=True)
class Within:
    """Bounds of a number, both included."""

    least: float
    most: float

    def check(self, value: Any, name: str) -> None:
        """Raise RecordError for a number outside."""
        if not self.least <= value <= self.most:
            raise RecordError(f"{name} is from {self.least:g} to {self.most:g}, got {_shown(value)}")


@dataclass(frozen=True)
class Sized:
    """Bounds of a text's or a sequence's length, both included."""

    least: int
    most: int

    def check(self, value: Any, name: str) -> None:
        """Raise RecordError for another length."""
        if not self.least <= len(value) <= self.most:
            raise RecordError(f"{name} has {self.least} to {self.most} characters or entries, got {len(value)}")


@dataclass(frozen=True)
class FileName:
    """Text that may become part of a file's name: no separators or control characters, no other folder."""

    def check(self, value: Any, name: str) -> None:
        """Raise RecordError for other text."""
        odd = any(letter in "/\\\x7f" or letter < " " for letter in value)
        if odd or not 0 < len(value) <= 255 or value in (".", ".."):
            raise RecordError(f"{name} is a name without separators, of up to 255 characters, got {_shown(value)}")


def parse(text: str) -> Any:
    """The JSON value of a record's text; RecordError for what is none, or nests without end."""
    try:
        return json.loads(text)
    except RecursionError:
        raise RecordError("it nests too deep") from None
    except ValueError as error:
        raise RecordError(f"it is no JSON ({error})") from None


def from_fields(cls: type[Record], values: Any, name: str = "", *, extra: bool = False) -> Record:
    """A dataclass from the JSON object of a record; `name` is what errors call it.

    Raises RecordError for a field that is missing, unknown (but with `extra`), of another type, or out of bounds.
    """
    hints, fields = _hints(cls), dataclasses.fields(cls)  # type: ignore[arg-type]
    if not isinstance(values, dict):
        raise RecordError(f"{name or 'the record'} is an object of fields, got {_shown(values)}")
    found = {}
    for field in fields:
        if field.name in values:
            found[field.name] = _value(hints[field.name], values[field.name], _below(name, field.name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise RecordError(f"{_below(name, field.name)} is missing")
    if not extra and (unknown := set(values) - set(hints)):
        raise RecordError(f"{_below(name, min(unknown)[:80])} is no field of this version")
    try:
        return cls(**found)
    except (ValueError, TypeError) as error:
        raise RecordError(f"{name or 'the record'}: {error}") from None


def _hints(cls: Any) -> dict[str, Any]:
    return _hints_of(cls)


def check_number(value: Any, name: str) -> None:
    """Raise RecordError for what is no finite number."""
    _plain(float, value, name)


@cache
def _hints_of(cls: Hashable) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _below(name: str, field: str) -> str:
    return f"{name}.{field}" if name else field


def _value(hint: Any, value: Any, name: str) -> Any:
    origin = get_origin(hint)
    if origin is Annotated:
        hint, *bounds = get_args(hint)
        found = _value(hint, value, name)
        for bound in bounds:
            if found is not None and hasattr(bound, "check"):
                bound.check(found, name)
        return found
    if origin in (Union, types.UnionType):
        return _one_of(get_args(hint), value, name)
    if origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in get_args(hint)):
            raise RecordError(f"{name} is one of {', '.join(map(str, get_args(hint)))}, got {_shown(value)}")
        return value
    if dataclasses.is_dataclass(hint):
        return from_fields(hint, value, name)  # type: ignore[arg-type]
    read = _CONTAINERS.get(origin or hint)
    return read(get_args(hint), value, name) if read else _plain(hint, value, name)


def _one_of(choices: tuple[Any, ...], value: Any, name: str) -> Any:
    """None where that is a choice; of several dataclasses the one whose literals the object has."""
    if value is None and type(None) in choices:
        return None
    left = [choice for choice in choices if choice is not type(None)]
    if len(left) > 1 and isinstance(value, dict):
        left = [choice for choice in left if _has_literals_of(choice, value)] or left[:1]
    return _value(left[0], value, name)


def _has_literals_of(cls: type[Any], values: dict[str, Any]) -> bool:
    hints = _hints(cls)
    return all(
        values.get(field.name, field.default) in get_args(hints[field.name])
        for field in dataclasses.fields(cls)
        if get_origin(hints[field.name]) is Literal and len(get_args(hints[field.name])) == 1
    )


def _tuple(arguments: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    items = _items(value, name)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_value(arguments[0], item, f"{name}[{index}]") for index, item in enumerate(items))
    if len(items) != len(arguments):
        raise RecordError(f"{name} has {len(arguments)} entries, got {len(items)}")
    return tuple(
        _value(hint, item, f"{name}[{index}]") for index, (hint, item) in enumerate(zip(arguments, items, strict=True))
    )


def _list(arguments: tuple[Any, ...], value: Any, name: str) -> list[Any]:
    return [_value(arguments[0], item, f"{name}[{index}]") for index, item in enumerate(_items(value, name))]


def _dict(arguments: tuple[Any, ...], value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > MAX_ITEMS:
        raise RecordError(f"{name} is an object of fields, got {_shown(value)}")
    return {
        _plain(str, key, f"a name in {name}"): _value(arguments[1], item, _below(name, key[:80]))
        for key, item in value.items()
    }


def _items(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list | tuple) or len(value) > MAX_ITEMS:
        raise RecordError(f"{name} is a list of at most {MAX_ITEMS} entries, got {_shown(value)}")
    return list(value)


def _plain(hint: Any, value: Any, name: str) -> Any:
    if hint is Any:
        _check_depth(value, name)
        return value
    kinds = (int, float) if hint is float else hint
    if not isinstance(value, kinds) or (isinstance(value, bool) and hint is not bool):
        raise RecordError(f"{name} is {_PLAIN[hint]}, got {_shown(value)}")
    if isinstance(value, int) and not -(2**64) < value < 2**64:
        raise RecordError(f"{name} is a number of at most 64 bits, got {_shown(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise RecordError(f"{name} is a finite number, got {value}")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise RecordError(f"{name} is text of at most {MAX_TEXT} characters, got {len(value)}")
    return value


def _check_depth(value: Any, name: str) -> None:
    layer = [value]
    for _ in range(MAX_DEPTH):
        layer = [
            item
            for outer in layer
            if isinstance(outer, list | dict)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not layer:
            return
    raise RecordError(f"{name} nests too deep")


_CONTAINERS: dict[Any, Callable[[tuple[Any, ...], Any, str], Any]] = {tuple: _tuple, list: _list, dict: _dict}


def _shown(value: Any) -> str:
    """A value in an error: short, on one line, and printable."""
    if isinstance(value, list | tuple | dict):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**64:
        return f"one of {value.bit_length()} bits"
    return ascii(value)[:80]
