"""What an image classifier says of itself: labels, input and normalisation, as they travel inside its files."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, cast, get_args

import numpy as np

from lenet_edge_runtime.errors import ArgumentError, ModelFileError
from lenet_edge_runtime.metadata import PREFIX as PREFIX
from lenet_edge_runtime.metadata import anything, items, number, read, read_optional, shortened, table, text, whole
from lenet_edge_runtime.records import Sized, Within

Polarity = Literal["light-on-dark", "dark-on-light", "any"]
Fit = Literal["mnist", "resize"]  # ink in the middle of a margin, or the whole image (`fitting.py`)
Layout = Literal["NCHW", "NHWC"]  # channels first, or last as TFLite has them
InputType = Literal["uint8", "float32"]  # raw pixels, or what `images.normalise` makes of them

MAX_SIDE = 2**16  # pixels
MAX_VALUES = 2**26  # of one image


@dataclass(frozen=True)
class ModelSpec:
    """The contract between a classifier and whoever feeds it.

    Images are raw pixels, uint8 [batch, channels, height, width], 0 to 255. They are padded with `padding` zeros on
    each side, divided by 255, and normalised: (x - mean) / std, per channel. A file of input type "uint8" does that
    inside; one of "float32" takes what comes of it (`images.normalise`).
    """

    labels: Annotated[tuple[Annotated[str, Sized(1, 1000)], ...], Sized(2, 10_000)]
    height: Annotated[int, Within(1, 1024)]
    width: Annotated[int, Within(1, 1024)]
    mean: tuple[float, ...]  # one number a channel, of pixels scaled to [0, 1]
    std: tuple[float, ...]
    padding: Annotated[int, Within(0, 256)] = 0  # pixels on each side, added to the raw image before normalisation
    polarity: Polarity = "any"  # what the training images looked like; "any": no image is ever inverted
    fit: Fit = "resize"  # how they were placed in height x width
    threshold: float | None = None  # of the logits' log-sum-exp, below which an image shows none of the labels
    coverage: tuple[tuple[float, float], ...] = ()  # of sets of labels, and the greatest 1 - p in such a set

    def __post_init__(self) -> None:
        """Raise ValueError for a spec that describes no classifier."""
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"a classifier needs two or more different labels, got {list(self.labels)}")
        if self.height < 1 or self.width < 1 or self.padding < 0:
            raise ValueError(f"not an image size: {self.height}x{self.width}, padding {self.padding}")
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise ValueError(f"mean and std need one number per channel (1 or 3), got {self.mean} and {self.std}")
        if not all(map(math.isfinite, (*self.mean, *self.std))):
            raise ValueError(f"mean and std have to be finite, got {self.mean} and {self.std}")
        if not all(value > 0 for value in self.std):
            raise ValueError(f"std has to be above zero, got {self.std}")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise ValueError(f"threshold has to be finite, got {self.threshold}")
        if not all(0 < level < 1 and 0 <= quantile <= 1 for level, quantile in self.coverage):
            raise ValueError(f"coverages and their quantiles lie between 0 and 1, got {self.coverage}")
        if self.polarity not in get_args(Polarity):
            raise ValueError(f"polarity is one of {get_args(Polarity)}, got {self.polarity!r}")
        if self.fit not in get_args(Fit) or (self.fit == "mnist" and self.channels != 1):
            raise ValueError(f"fit is one of {get_args(Fit)}, the first for grey images only, got {self.fit!r}")

    @property
    def channels(self) -> int:
        """Colour channels of the input: 1 (grey) or 3 (RGB)."""
        return len(self.mean)

    @property
    def pixel_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image in raw pixels."""
        return self.channels, self.height, self.width

    def input_shape(self, input_type: InputType) -> tuple[int, int, int]:
        """(channels, height, width) of one image as a file of this input type takes it: float32 is padded already."""
        border = 0 if input_type == "uint8" else 2 * self.padding
        return self.channels, self.height + border, self.width + border

    def to_metadata(self, input_type: InputType = "uint8", layout: Layout = "NCHW") -> dict[str, str]:
        """Return the spec as flat text, each value JSON, for ONNX metadata_props and the like.

        `input` states the input as the file takes it: for float32 its height and width include the padding.
        """
        channels, height, width = self.input_shape(input_type)
        shape = [channels, height, width] if layout == "NCHW" else [height, width, channels]
        fields = {
            "labels": list(self.labels),
            "input": {"layout": layout, "dtype": input_type, "shape": ["batch", *shape]},
            "padding": self.padding,
            "mean": list(self.mean),
            "std": list(self.std),
            "polarity": self.polarity,
            # Stated where they are not what older files mean.
            **({} if self.fit == "resize" else {"fit": self.fit}),
            **({} if self.threshold is None else {"threshold": self.threshold}),
            **({} if not self.coverage else {"coverage": [list(row) for row in self.coverage]}),
        }
        return {PREFIX + key: json.dumps(value, ensure_ascii=False) for key, value in fields.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """Read back what `to_metadata` wrote; raise ModelFileError where it is missing or makes no sense."""
        if PREFIX + "labels" not in metadata:
            raise ModelFileError("the file carries no lenet-edge metadata (labels, input size, normalisation)")
        _, (_, channels, height, width) = read(metadata, "input", _stated_input)
        padding = read(metadata, "padding", whole(0, MAX_SIDE))
        border = 2 * padding if input_type_of(metadata) == "float32" else 0
        try:
            spec = cls(
                labels=read(metadata, "labels", items(text)),
                height=height - border,
                width=width - border,
                mean=read(metadata, "mean", items(number, 1, 3)),
                std=read(metadata, "std", items(number, 1, 3)),
                padding=padding,
                polarity=cast(Polarity, read(metadata, "polarity", text)),
                fit=cast(Fit, read(metadata, "fit", text, "resize")),
                threshold=read_optional(metadata, "threshold", number),
                coverage=tuple((row[0], row[1]) for row in read_optional(metadata, "coverage", _PAIRS) or ()),
            )
        except ValueError as error:
            raise ModelFileError(f"the file's metadata is damaged: {shortened(str(error), 300)}") from None
        if spec.channels != channels:
            raise ModelFileError(f"the file's metadata is damaged: {channels} channels, and {spec.channels} means")
        return spec


_PAIRS = items(items(number, 2, 2))


def check_outputs(outputs: object, spec: ModelSpec, name: str) -> None:
    """Raise ModelFileError where a model, called `name`, has another number of outputs than of labels."""
    if outputs != len(spec.labels):
        raise ModelFileError(
            f"{name} has {outputs} outputs and names {len(spec.labels)} labels: its answers mean nothing; "
            f"export it again"
        )


def check_pixels(pixels: object, spec: ModelSpec) -> None:
    """Raise ArgumentError for what is no batch of raw pixels, uint8 [n, channels, height, width]."""
    wanted = f"uint8 [n, {', '.join(map(str, spec.pixel_shape))}]"
    if not isinstance(pixels, np.ndarray):
        raise ArgumentError(f"expected a NumPy array, {wanted}, got {type(pixels).__name__}: numpy.asarray makes one")
    if pixels.dtype != np.uint8 or pixels.shape[1:] != spec.pixel_shape:
        raise ArgumentError(f"expected {wanted}, got {pixels.dtype} {list(pixels.shape)}")


def input_type_of(metadata: Mapping[str, str]) -> InputType:
    """The input type that a file's metadata states; uint8 where it states none. ModelFileError for an unknown one."""
    return "uint8" if PREFIX + "input" not in metadata else read(metadata, "input", _stated_input)[0]


def _stated_input(value: Any) -> tuple[InputType, tuple[str, int, int, int]]:
    """The input's type and shape, ("batch", channels, height, width)."""
    stated = table(anything)(value)
    dtype, shape = stated.get("dtype", "uint8"), items(anything, 4, 4)(stated.get("shape"))
    if dtype not in get_args(InputType):
        raise ValueError(f"expected one of {get_args(InputType)}, got {dtype!r}")
    sizes = [whole(1, MAX_SIDE)(size) for size in shape[1:]]
    height, width, channels = sizes if stated.get("layout") == "NHWC" else (*sizes[1:], sizes[0])
    if channels * height * width > MAX_VALUES:
        raise ValueError(f"an image of {channels} x {height} x {width} is no classifier's input")
    found: InputType = dtype
    return found, (str(shape[0]), channels, height, width)
