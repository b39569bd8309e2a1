"""Another tool's ONNX classifier, which carries no metadata of ours: labels and normalisation come from the caller.

It may look like this: one input, one image or a batch of them, NCHW or NHWC, without channels or flat, 1 or 3 channels,
of a fixed size, float (normalised) or uint8 (raw pixels); an output that is float [batch, classes], logits,
probabilities or sigmoids.
The file is only ever run in a child process under limits (`guard.py`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.fitting import FitPolicy, Invert
from lenet_edge_runtime.guard import Guard, Limits
from lenet_edge_runtime.images import ImageSource
from lenet_edge_runtime.latency import Timing
from lenet_edge_runtime.predictions import ImageBatch, Located, Prediction, classify, classify_parts
from lenet_edge_runtime.spec import ModelSpec

TYPES = {
    "tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(double)": "float64", "tensor(float16)": "float16",
}  # fmt: skip
SIGMOIDS = ("Sigmoid", "HardSigmoid", "QLinearSigmoid")
MAX_BATCH = 1024  # that a file may insist on
IMAGES_A_CALL = 4096  # each call costs a process
VALUES_A_CALL = 2**26  # 256 MiB as float32, of which parent and child hold a few copies
PROBES = 4  # images that show whether a file gives logits or probabilities
# A softmax whose output was quantized in steps of 1/256 is off by half a step a class.
PROBABILITY_TOLERANCE = 0.02


@dataclass(frozen=True)
class ForeignInput:
    """The image input of a foreign file; `batch` is None where it is open."""

    dtype: str  # "uint8", or "float32", "float64" or "float16"
    layout: str  # "NCHW", "NHWC", "NHW" (grey), or "flat": channels, rows and columns in one row
    batch: int | None
    channels: int
    height: int
    width: int

    @classmethod
    def read(cls, path: Path, inputs: Sequence[dict[str, Any]], limits: Limits) -> "ForeignInput":
        """Interpret what `worker.inspect` reports; raise ModelFileError for what is no image input."""
        described = ", ".join(f"{item['type']} {item['shape']}" for item in inputs) or "none"
        if len(inputs) != 1 or inputs[0]["type"] not in TYPES or len(inputs[0]["shape"]) not in (2, 3, 4):
            raise ModelFileError(
                f"{path} has the inputs {described}; expected one of float or uint8 [batch, channels, height, width], "
                f"[batch, height, width] or [batch, pixels]"
            )
        batch, *image = inputs[0]["shape"]
        if not all(isinstance(size, int) for size in image):
            raise ModelFileError(
                f"{path} takes images of any size ({described}); fix it: python -m onnxruntime.tools."
                f"make_dynamic_shape_fixed --input_name NAME --input_shape 1,1,28,28 {path} fixed.onnx"
            )
        layout, (channels, height, width) = _laid_out(image)
        sides = range(1, limits.side + 1)
        is_batch = not isinstance(batch, int) or 1 <= batch <= MAX_BATCH
        if channels not in (1, 3) or height not in sides or width not in sides or not is_batch:
            raise ModelFileError(
                f"{path} takes {described}; expected 1 or 3 channels, up to {limits.side} x {limits.side} pixels, "
                f"and a batch that is open or at most {MAX_BATCH}"
            )
        fixed = batch if isinstance(batch, int) else None
        return cls(TYPES[inputs[0]["type"]], layout, fixed, channels, height, width)

    def laid_out(self, images: NDArray[Any]) -> NDArray[Any]:
        """Images [n, channels, height, width] in the order of axes and of the type that the file takes."""
        images = images.astype(self.dtype, copy=False)
        if self.layout == "NHWC":
            return images.transpose(0, 2, 3, 1)
        shapes = {"NHW": images.shape[2:], "flat": (math.prod(images.shape[1:]),)}
        return images.reshape(len(images), *shapes.get(self.layout, images.shape[1:]))


class ForeignClassifier:
    """A classifier from another tool, as `Classifier` is one of ours; each call of it starts a child process.

    `mean` and `std`, of pixels scaled to [0, 1], have one number or one a channel; a file that takes uint8 pixels
    normalises them itself and wants neither. Raises ModelFileError for a file that is refused, fails, or is stopped.
    """

    def __init__(
        self,
        path: Path,
        labels: Sequence[str],
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        guard: Guard | None = None,
    ) -> None:
        self.path = path
        self.guard = guard or Guard()
        described, _ = self.guard.ask("inspect", [path])
        self.input = ForeignInput.read(path, described["inputs"], self.guard.limits)
        self.ends_in_sigmoid = any(name in SIGMOIDS for name in described["last_operators"])
        try:
            self.spec = ModelSpec(
                labels=tuple(labels),
                height=self.input.height,
                width=self.input.width,
                mean=self._a_channel("--mean", mean, 0.0),
                std=self._a_channel("--std", std, 1.0),
            )
        except ValueError as error:
            raise ModelFileError(f"{path}: {error}") from None

    def _a_channel(self, option: str, numbers: Sequence[float], of_uint8: float) -> tuple[float, ...]:
        channels = self.input.channels
        if self.input.dtype == "uint8":
            if numbers:
                raise ModelFileError(
                    f"{self.path} takes raw uint8 pixels and normalises them itself: leave out {option}"
                )
            return (of_uint8,) * channels
        if len(numbers) not in (1, channels) or not np.isfinite(numbers).all():
            raise ModelFileError(
                f"{self.path} takes float32 images of {channels} channel(s): give {option} once, or once a channel, "
                f"got {list(numbers)}"
            )
        return tuple(numbers) * (channels // len(numbers))

    def feed(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """Raw pixels, uint8 [n, c, h, w], as the file's input wants them: normalised where it is float32."""
        images: NDArray[Any] = pixels
        if self.input.dtype != "uint8":
            mean, std = (np.array(values, np.float32)[:, None, None] for values in (self.spec.mean, self.spec.std))
            images = (pixels.astype(np.float32) / np.float32(255) - mean) / std
        return self.input.laid_out(images)

    @property
    def batch(self) -> int:
        """How many images one child process is given: many of a few pixels, few of many."""
        return max(1, min(IMAGES_A_CALL, VALUES_A_CALL // math.prod(self.spec.pixel_shape)))

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run raw pixels, uint8 [n, c, h, w], in batches; return the logits, float32 [n, classes].

        A file that gives probabilities (non-negative rows that sum to 1 on every probe image) is given back their
        logarithm: softmax makes the same probabilities of it again. Of one that ends in Sigmoid, whose values need not
        sum to 1, it is the logarithm of each value's share.
        """
        starts = range(0, max(1, len(pixels)), self.batch)
        return np.concatenate([self._ask(pixels[start : start + self.batch]) for start in starts])

    def _ask(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        images = self.feed(np.concatenate([self._probes(), pixels]))
        _, rows = self.guard.ask("run", [self.path], [images], classes=len(self.spec.labels))
        assert rows is not None
        answers = rows.astype(np.float32)
        if np.isnan(answers[PROBES:]).any():
            raise ModelFileError(f"{self.path} answers NaN: check --mean and --std")
        if self.ends_in_sigmoid:
            answers = answers / np.maximum(answers.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        if self.ends_in_sigmoid or _are_probabilities(answers[:PROBES]):
            answers = np.log(np.maximum(answers, np.finfo(np.float32).tiny))
        return answers[PROBES:]

    def predict(self, image: ImageSource, invert: Invert = "auto", fit: FitPolicy = "auto") -> Prediction:
        """Classify one image."""
        return self.predict_batch([image], invert, fit)[0]

    def predict_batch(self, images: ImageBatch, invert: Invert = "auto", fit: FitPolicy = "auto") -> list[Prediction]:
        """Classify images, as `Classifier.predict_batch` does.

        "auto" inverts none and resizes them: what the training images looked like is not known.
        """
        return classify(images, self.spec, self.logits, invert, fit)

    def split(self, image: ImageSource, invert: Invert = "auto", fit: FitPolicy = "auto") -> list[Located]:
        """Cut a picture into its digits and classify each, as `Classifier.split` does."""
        return classify_parts(image, self.spec, self.logits, invert, fit)

    def _probes(self) -> NDArray[np.uint8]:
        """Black, white, a ramp, and noise: always the same, uint8 [PROBES, c, h, w]."""
        shape = self.spec.pixel_shape
        ramp = np.linspace(0, 255, int(np.prod(shape))).astype(np.uint8).reshape(shape)
        noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        return np.stack([np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8), ramp, noise])


def time_calls(
    classifiers: Sequence[ForeignClassifier],
    pixels: NDArray[np.uint8],
    *,
    threads: int,
    rounds: int,
    calls: int,
    warmup: int,
) -> list[Timing]:
    """Latency of one call on `pixels`, uint8 [n, c, h, w], of each classifier, interleaved in one child process."""
    guard, classes = classifiers[0].guard, len(classifiers[0].spec.labels)
    for classifier in classifiers:
        batch = classifier.input.batch
        if batch not in (None, len(pixels)):
            raise ModelFileError(f"{classifier.path} takes only batches of {batch}: give --batch {batch}")
    arrays = [classifier.feed(pixels) for classifier in classifiers]
    answer, _ = guard.ask(
        "time", [classifier.path for classifier in classifiers], arrays,
        classes=classes, threads=threads, rounds=rounds, calls=calls, warmup=warmup,
    )  # fmt: skip
    return [Timing.from_json(timing) for timing in answer["timings"]]


def _laid_out(image: Sequence[int]) -> tuple[str, tuple[int, int, int]]:
    """How an image of this shape lies in memory, and its channels, height and width."""
    if len(image) == 1:
        channels = 3 if image[0] % 3 == 0 and math.isqrt(image[0] // 3) ** 2 * 3 == image[0] else 1
        side = math.isqrt(max(0, image[0]) // channels)
        return ("flat", (channels, side, side)) if channels * side * side == image[0] else ("flat", (0, 0, 0))
    if len(image) == 2:
        return "NHW", (1, image[0], image[1])
    if image[0] in (1, 3):
        return "NCHW", (image[0], image[1], image[2])
    return "NHWC", (image[2], image[0], image[1])


def _are_probabilities(rows: NDArray[np.float32]) -> bool:
    finite = rows[np.isfinite(rows).all(axis=1)]
    return len(finite) > 0 and bool((finite >= 0).all() and (abs(finite.sum(1) - 1) < PROBABILITY_TOLERANCE).all())
