"""Constants of the generated program: arrays as C text, each content once."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

C_TYPES = {"int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "uint8": "uint8_t", "float32": "float"}
LINE = 116


class Constants:
    """Collects `static const` arrays; two of the same type and content become one."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.bytes = 0  # of flash; arrays that only one instruction set needs do not count
        self.digest = hashlib.sha256()
        self._names: dict[tuple[str, bytes], str] = {}

    def array(self, name: str, values: NDArray[Any]) -> str:
        """Declare an array and return its name: that of an earlier one where there is one with these values."""
        key = (str(values.dtype), values.tobytes())
        if key not in self._names:
            self._names[key] = name
            self.texts.append(_aligned(name, values))
            self._count(values)
        return self._names[key]

    def alternatives(self, chosen: Mapping[str, tuple[str, NDArray[Any]]], other: tuple[str, NDArray[Any]]) -> None:
        """Declare the array of the first preprocessor condition that holds, and `other` where none does."""
        branches = [f"#elif {condition}\n{_aligned(*array)}" for condition, array in chosen.items()]
        self.texts.append(f"#{''.join(branches).removeprefix('#el')}#else\n{_aligned(*other)}#endif\n")
        self._count(other[1])

    def _count(self, values: NDArray[Any]) -> None:
        self.bytes += values.nbytes
        self.digest.update(values.tobytes())


def declaration(name: str, values: NDArray[Any], attribute: str = "") -> str:
    """A C array of one dimension, whatever the shape of `values`, in lines of at most 120 characters."""
    body = textwrap.fill(
        ", ".join(number(value) for value in values.reshape(-1).tolist()),
        LINE + 4,
        initial_indent="    ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return f"static const {C_TYPES[str(values.dtype)]} {name}[{values.size}]{attribute} = {{\n{body}\n}};\n"


def _aligned(name: str, values: NDArray[Any]) -> str:
    """The declaration of an array of the network: weights in 8 bits begin at whole words (`kernels/prelude.c`)."""
    return declaration(name, values, " LENET_WORDS" if values.dtype == np.int8 else "")


def number(value: float) -> str:
    """A number as C reads it back: nine digits are enough for the bits of any float32."""
    if isinstance(value, int):
        return str(value)
    text = f"{np.float32(value):.9g}"
    return f"{text}f" if any(mark in text for mark in ".e") else f"{text}.0f"
