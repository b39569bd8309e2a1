"""From pictures to named answers, whatever runs the network: one answer a picture, or one for each digit in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime.answers import are_known, label_sets, softmax
from lenet_edge_runtime.errors import ImageError
from lenet_edge_runtime.fitting import FitPolicy, Fitted, Invert, fit_image
from lenet_edge_runtime.images import ImageSource, read_image
from lenet_edge_runtime.spec import ModelSpec
from lenet_edge_runtime.splitting import Box, Piece, split_image

ImageBatch = Sequence[ImageSource] | NDArray[np.generic]
Logits = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # raw pixels [n, c, h, w] to [n, classes]


@dataclass(frozen=True)
class Prediction:
    """The answer for one image; `probabilities` follow the order of the spec's labels and sum to 1.

    `inverted` says whether the image was inverted before it was classified, as dark ink on light paper has to be.
    `known` is False where the image shows none of the classes, as far as the file can tell (`ModelSpec.threshold`).
    `labels` is there where a coverage was asked for: the labels that hold the true one with that probability.
    """

    label: str
    index: int
    probability: float
    probabilities: tuple[float, ...]
    inverted: bool
    known: bool = True
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Located(Prediction):
    """The answer for one digit of a picture: `box` is (left, top, right, bottom) in the upright picture's pixels.

    Right and bottom are the first column and row outside.
    """

    box: Box = field(kw_only=True)


def classify(
    images: ImageBatch,
    spec: ModelSpec,
    logits: Logits,
    invert: Invert = "auto",
    fit: FitPolicy = "auto",
) -> list[Prediction]:
    """Fit images to the input that `spec` describes, run them through `logits` in one call, and name the answers."""
    if isinstance(images, np.ndarray) and images.ndim not in (3, 4):
        raise ImageError(f"an array of images is n x H x W or n x H x W x C, got shape {images.shape}")
    if not isinstance(images, np.ndarray | Sequence) or isinstance(images, str | bytes | bytearray | memoryview):
        raise ImageError(f"predict_batch takes a list of images, got {type(images).__name__}; predict takes one image")
    return name_answers(
        [fit_image(read_image(image, spec.channels), spec, invert, fit) for image in images], spec, logits
    )


def name_answers(
    fitted: Sequence[Fitted],
    spec: ModelSpec,
    logits: Logits,
    coverage: float | None = None,
) -> list[Prediction]:
    """Run fitted images through `logits` in one call, and name the answers; with sets of labels of that coverage."""
    if not fitted:
        return []
    found = logits(np.stack([image.pixels for image in fitted]))
    rows, known = softmax(found), are_known(found, spec)
    sets = [None] * len(rows) if coverage is None else label_sets(rows, spec, coverage)
    return [_prediction(*parts, spec) for parts in zip(rows, known, sets, fitted, strict=True)]


def classify_parts(
    image: ImageSource, spec: ModelSpec, logits: Logits, invert: Invert = "auto", fit: FitPolicy = "auto"
) -> list[Located]:
    """Cut a picture into its digits, run them through `logits` in one call, and name the answers."""
    return name_parts(split_image(read_image(image, spec.channels), spec, invert, fit), spec, logits)


def name_parts(
    pieces: Sequence[Piece], spec: ModelSpec, logits: Logits, coverage: float | None = None
) -> list[Located]:
    """The answers for the digits of a picture, as `name_answers`, each with its box."""
    answers = name_answers([piece.fitted for piece in pieces], spec, logits, coverage)
    return [Located(**vars(answer), box=piece.box) for answer, piece in zip(answers, pieces, strict=True)]


def _prediction(
    probabilities: NDArray[np.float64], known: np.bool_, labels: tuple[str, ...] | None, image: Fitted, spec: ModelSpec
) -> Prediction:
    index = int(probabilities.argmax())
    return Prediction(
        label=spec.labels[index],
        index=index,
        probability=float(probabilities[index]),
        probabilities=tuple(float(value) for value in probabilities),
        inverted=image.inverted,
        known=bool(known),
        labels=labels,
    )
