"""A quantized network as steps, each of which turns codes into codes, or at the end into sums or logits.

Codes are uint8 and stand for scale * (code - zero_point). Images lie in memory channels last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime.errors import LenetEdgeError

Scale = np.float32


class UnsupportedError(LenetEdgeError):
    """A graph that an exporter of integer steps cannot express; the message names exporter and operator."""


class Step(Protocol):
    """What one image's codes go through, with its constants; each exporter says in its own words how it is run."""

    @property
    def output_size(self) -> int:
        """Values that it gives: codes, a byte each, or sums."""

    @property
    def macs(self) -> int:
        """Multiplications of one image."""


PIXELS = 0  # the number of the value that the network is given

StepT_co = TypeVar("StepT_co", bound=Step, covariant=True)


@dataclass(frozen=True)
class Operation(Generic[StepT_co]):
    """A step, and the numbers of the values that it takes and gives; `PIXELS` is the first value."""

    step: StepT_co
    sources: tuple[int, ...]
    target: int


@dataclass(frozen=True)
class Codes:
    """A tensor of codes; `shape` is (channels, height, width), or (n,). `flattened`: ONNX sees a row of numbers.

    `value` is the number of the operation's result that they are.
    """

    shape: tuple[int, ...]
    scale: Scale
    zero_point: int
    flattened: bool = False
    value: int = PIXELS


@dataclass(frozen=True)
class Stored:
    """A dequantized constant: weights with a scale and a zero point for each channel, or a bias."""

    codes: NDArray[Any]
    scale: NDArray[np.float32]
    zero_point: NDArray[Any]

    @property
    def centred(self) -> NDArray[np.int64]:
        """codes - zero_point, which is what the numbers are in units of their scale."""
        per_channel = (-1,) + (1,) * (self.codes.ndim - 1) if self.zero_point.ndim else ()
        return self.codes.astype(np.int64) - self.zero_point.astype(np.int64).reshape(per_channel)


@dataclass(frozen=True)
class Unrounded:
    """What a step computes before it is rounded to codes: `quantized` gives the step once scale and zero are known.

    `sources` are the numbers of the values that it is computed from.
    """

    shape: tuple[int, ...]
    quantized: Callable[[Scale, int], Step]
    as_logits: Callable[[], Step] | None = None
    sources: tuple[int, ...] = ()


Value = NDArray[Any] | Codes | Stored | Unrounded


@dataclass(frozen=True)
class Node:
    """An ONNX node with its inputs as they were read; `exporter` is what errors call who reads it."""

    op_type: str
    name: str
    inputs: list[Value]
    attributes: Mapping[str, Any]
    exporter: str

    def refuse(self, why: str) -> UnsupportedError:
        """The error for what this node asks and integer steps have not."""
        where = f" ({self.name})" if self.name else ""
        return UnsupportedError(f"{self.exporter} has no {self.op_type}{where} {why}; export this net as int8 ONNX")

    @property
    def sources(self) -> tuple[int, ...]:
        """The numbers of the values that the node is computed from."""
        found: list[int] = []
        for item in self.inputs:
            if isinstance(item, Codes):
                found.append(item.value)
            elif isinstance(item, Unrounded):
                found += item.sources
        return tuple(found)

    def codes(self) -> Codes:
        """The first input, which has to be codes that an earlier step gave."""
        if not isinstance(self.inputs[0], Codes):
            raise self.refuse("on values that are not 8-bit codes")
        return self.inputs[0]

    def image(self) -> Codes:
        """The first input, which has to be codes of an image."""
        codes = self.codes()
        if len(codes.shape) != 3 or codes.flattened:
            raise self.refuse(f"on a tensor of shape {codes.shape}")
        return codes

    def require(self, attribute: str, *allowed: Any) -> None:
        """Refuse an attribute whose value is none of these; an absent one is at its default and fine."""
        value = self.attributes.get(attribute, allowed[0])
        if value not in allowed:
            raise self.refuse(f"with {attribute} {value}")

    def pair(self, attribute: str) -> tuple[int, int]:
        """Two numbers, for height and width; 1 where the node does not say."""
        first, second = self.attributes.get(attribute, [1, 1])
        return int(first), int(second)

    def pads(self) -> tuple[int, int, int, int]:
        """Top, left, bottom, right."""
        self.require("auto_pad", b"NOTSET", b"VALID")
        top, left, bottom, right = self.attributes.get("pads", [0, 0, 0, 0])
        return int(top), int(left), int(bottom), int(right)


@dataclass(frozen=True)
class Window:
    """A sliding window over an image: its input, its size, its steps and what surrounds the image."""

    channels: int
    height: int
    width: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]  # top, left, bottom, right
    dilations: tuple[int, int] = (1, 1)

    @property
    def rows(self) -> int:
        """Windows from top to bottom."""
        reach = (self.kernel[0] - 1) * self.dilations[0] + 1
        return (self.height + self.pads[0] + self.pads[2] - reach) // self.strides[0] + 1

    @property
    def columns(self) -> int:
        """Windows from left to right."""
        reach = (self.kernel[1] - 1) * self.dilations[1] + 1
        return (self.width + self.pads[1] + self.pads[3] - reach) // self.strides[1] + 1

    @property
    def is_2x2(self) -> bool:
        """Whether windows are 2 x 2 and lie side by side."""
        return self.kernel == self.strides == (2, 2) and not any(self.pads)


def window_of(node: Node, image: Codes, kernel: tuple[int, int]) -> Window:
    """The window that a convolution or pooling node slides over its input."""
    channels, height, width = image.shape
    return Window(channels, height, width, kernel, node.pair("strides"), node.pads(), node.pair("dilations"))
