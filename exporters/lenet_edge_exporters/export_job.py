"""What an exporter needs to know: a trained classifier, its spec, and the images to check and calibrate with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters import c_name
from lenet_edge_runtime.host import installed_versions
from lenet_edge_runtime.images import to_input
from lenet_edge_runtime.shared_library import DEFAULT_NAME
from lenet_edge_runtime.spec import PREFIX, InputType, Layout, ModelSpec

if TYPE_CHECKING:
    from torch import nn

OPSETS = range(13, 22)  # 13 brought per-channel quantization, 21 is the newest that current runtimes all know
DEFAULT_OPSET = 18  # with IR 8 it reaches runtimes from 2022 on, and quantizes well

CalibrationMethod = Literal["minmax", "entropy", "percentile"]
CALIBRATION_METHODS: tuple[CalibrationMethod, ...] = get_args(CalibrationMethod)
CALIBRATION_IMAGES = 512  # of the training split; 1 to 2,048 gave 99.95 to 99.97 % agreement
MAX_CALIBRATION_IMAGES = 8192  # they go through the network as one batch: about 100 kB of activations each
Images = NDArray[np.uint8] | NDArray[np.float32]  # as a graph takes them: raw pixels, or normalised
LogitType = Literal["int8", "float32"]
Layers = Literal["all", "linear"] | tuple[str, ...]


@dataclass(frozen=True)
class Int8Options:
    """How int8 is made: how the ranges of the activations are found, and which layers are quantized.

    `layers`: "all" convolutions and dense layers, "linear" (the dense layers alone), or the names of ONNX nodes.
    `calibration_seed`: which draw the calibration images are, for the file's record.
    """

    calibration_method: CalibrationMethod = "minmax"
    layers: Layers = "all"
    calibration_seed: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a method or layers that there are not."""
        if self.calibration_method not in CALIBRATION_METHODS:
            known = ", ".join(CALIBRATION_METHODS)
            raise ValueError(f"the calibration method is one of {known}, got {self.calibration_method!r}")
        named = isinstance(self.layers, tuple) and self.layers and all(isinstance(name, str) for name in self.layers)
        if self.layers not in ("all", "linear") and not named:
            raise ValueError(f"layers are 'all', 'linear' or a tuple of node names, got {self.layers!r}")


@dataclass(frozen=True)
class Measurement:
    """What was measured of an exported file on a test set: its card, as JSON values, and whether it may be used.

    `reason` says in a sentence why it may not.
    """

    card: Mapping[str, Any] | None
    passed: bool
    reason: str | None = None


@dataclass(frozen=True)
class ExportJob:
    """A torch image classifier and all that goes into its files.

    `net` takes normalised float32 images as the spec describes them and gives logits. `check_pixels` and
    `calibration_pixels` are real images, uint8 [n, channels, height, width]: every file is compared with `net` on
    the former as soon as it is written, and only int8 needs the latter, which have to be training images. Where `net`
    learned them with fake quantization, `activation_ranges` (lowest and greatest value, of each layer but the last)
    take the place of calibration.
    """

    net: nn.Module
    spec: ModelSpec
    check_pixels: NDArray[np.uint8]
    calibration_pixels: NDArray[np.uint8] | None = None
    opset: int = DEFAULT_OPSET
    provenance: Mapping[str, Any] = field(default_factory=dict)  # JSON values: recipe, data set, its md5s, ...
    measure: Callable[[LoadedModel], Measurement] | None = None  # on a test set; None: the file gets no card
    int8: Int8Options = Int8Options()
    input: InputType = "uint8"  # raw pixels; float32: the files take what `net` takes, and nothing is folded
    activation_ranges: tuple[tuple[float, float], ...] = ()
    c_name: str = DEFAULT_NAME  # with which files, symbols and macros of the C export begin
    tflite_logits: LogitType = "int8"  # as microcontrollers and NPUs give them; float32: what their codes stand for

    def __post_init__(self) -> None:
        """Raise ValueError for an opset, an input type, a name in C or images that do not fit."""
        c_name.check(self.c_name)
        if self.opset not in OPSETS:
            raise ValueError(f"opset is {OPSETS[0]} to {OPSETS[-1]}, got {self.opset}")
        if self.input not in get_args(InputType):
            raise ValueError(f"input is one of {get_args(InputType)}, got {self.input!r}")
        for pixels in (self.check_pixels, self.calibration_pixels):
            if pixels is not None and (pixels.dtype != np.uint8 or pixels.shape[1:] != self.spec.pixel_shape):
                raise ValueError(f"images are uint8 [n, {self.spec.pixel_shape}], got {pixels.dtype} {pixels.shape}")

    def as_input(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8] | NDArray[np.float32]:
        """Raw pixels, uint8 [n, c, h, w], as this job's files take them."""
        return to_input(pixels, self.spec, self.input)

    def metadata(self, format_name: str, layout: Layout = "NCHW") -> dict[str, str]:
        """The flat metadata of the file of this format: spec, provenance, and the versions that made it."""
        versions = installed_versions(("lenet-edge", "torch", "onnx", "onnxscript", "onnxruntime"))
        extra = {"format": format_name, "versions": versions, **self.provenance}
        own = {PREFIX + key: json.dumps(value, ensure_ascii=False) for key, value in sorted(extra.items())}
        return {**self.spec.to_metadata(self.input, layout), **own}


class LoadedModel(Protocol):
    """An exported file, opened: the same verbs whatever its format."""

    metadata: dict[str, str]

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw pixels, uint8 [n, c, h, w], to logits, float32 [n, classes]."""

    def bind(self, pixels: NDArray[np.uint8]) -> Callable[[], object]:
        """The bare call on `pixels`, for timing."""
