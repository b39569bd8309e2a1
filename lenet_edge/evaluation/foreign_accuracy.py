"""Classifiers of other tools: their labels and their accuracy. Needs no torch."""

import ast
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenet_edge.data.image_data import ImageData
from lenet_edge.evaluation.statistics import mcnemar_exact, wilson_interval
from lenet_edge_runtime import onnx_file
from lenet_edge_runtime.errors import DataError, ModelFileError
from lenet_edge_runtime.foreign_classifier import ForeignClassifier
from lenet_edge_runtime.guard import Guard
from lenet_edge_runtime.reading import read_text
from lenet_edge_runtime.sessions import read_model
from lenet_edge_runtime.spec import ModelSpec

TRIED = 500  # training images, with each usual normalisation
USUAL: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = (
    ((0.0,), (1.0,)), ((0.0,), (1 / 255,)), ((0.5,), (0.5,)), ((0.1307,), (0.3081,)), ((0.2860,), (0.3530,)),
)  # fmt: skip
P = 0.001  # McNemar's p below which more images are clearly more
MAX_NAMES = 65_536  # characters of a file's own list of labels
FORMAT = "foreign"  # in tables and JSON, where a file of ours has its format's name


@dataclass(frozen=True)
class ForeignAccuracy:
    """Accuracy of a foreign file on a test set, with its 95 % interval (Wilson 1927)."""

    path: str
    format: str
    dataset: str
    images: int
    accuracy: float
    accuracy_ci95: tuple[float, float]


def read_labels(text: str) -> tuple[str, ...]:
    """Labels by commas, or, where `text` has none, the lines of the text file that it names."""
    if "," in text:
        return tuple(label.strip() for label in text.split(","))
    try:
        lines = read_text(text).splitlines()
    except (OSError, ValueError) as error:
        raise DataError(
            f"--labels takes labels by commas or a text file with one a line; {text!r} is neither ({error})"
        ) from None
    return tuple(line.strip() for line in lines if line.strip())


def labels_in(path: Path) -> tuple[str, ...]:
    """The labels that a file's metadata lists as `names`, as ultralytics writes them: {0: 'a', 1: 'b'}, or ['a', 'b'].

    Empty where it has none.
    """
    text = onnx_file.metadata_of(read_model(path)).get("names", "")[:MAX_NAMES]
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    if isinstance(found, dict) and set(found) == set(range(len(found))):
        found = [found[index] for index in range(len(found))]
    is_list = isinstance(found, list | tuple) and all(isinstance(item, str) for item in found)
    return tuple(found) if is_list and len(set(found)) == len(found) else ()


def of_its_size(data: ImageData, spec: ModelSpec) -> tuple[ImageData, str]:
    """The data with images of the size that a net takes, and what was done to them, or "" where nothing was.

    LeNet's 32 x 32 is 28 x 28 with two black pixels on each side; other sizes are scaled (Pillow's bilinear filter).
    """
    channels, height, width = data.test_pixels.shape[1:]
    if (height, width) == (spec.height, spec.width) or channels != spec.channels:
        return data, ""
    before, after = f"{height} x {width}", f"{spec.height} x {spec.width}"
    if (height, width, spec.height, spec.width) == (28, 28, 32, 32):
        border = ((0, 0), (0, 0), (2, 2), (2, 2))
        sized = replace(
            data, train_pixels=np.pad(data.train_pixels, border), test_pixels=np.pad(data.test_pixels, border)
        )
        return sized, f"the images of {before} are padded to {after} with black"
    sized = replace(data, train_pixels=_scaled(data.train_pixels, spec), test_pixels=_scaled(data.test_pixels, spec))
    return sized, f"the images of {before} are scaled to {after}"


def better_normalisation(classifier: ForeignClassifier, data: ImageData) -> str:
    """What a float net wants to be fed, if with a usual normalisation it recognises clearly more training images.

    The options to give, and both accuracies; "" where those given do as well as any. A file that was stopped or fails
    on the way says nothing.
    """
    spec, order = classifier.spec, np.random.default_rng(0).permutation(len(data.train_labels))[:TRIED]
    if classifier.input.dtype == "uint8" or data.train_pixels.shape[1:] != spec.pixel_shape:
        return ""
    try:
        given = _right(classifier, data, order)
        tried = try_normalisations(classifier, data, order)
    except ModelFileError:
        return ""
    best, mean, std = tried[0]
    if mcnemar_exact(int((given & ~best).sum()), int((best & ~given).sum())) > P or best.sum() <= given.sum():
        return ""
    options = options_of(mean, std)
    return (
        f"{classifier.path.name} recognises {best.mean():.1%} of {len(best)} training images with {options}, and "
        f"{given.mean():.1%} as given: it was trained with other numbers"
    )


def try_normalisations(
    classifier: ForeignClassifier, data: ImageData, order: NDArray[np.int64]
) -> list[tuple[NDArray[np.bool_], tuple[float, ...], tuple[float, ...]]]:
    """Which of these training images are recognised with each usual mean and std; the best come first."""
    trials = [
        ForeignClassifier(classifier.path, classifier.spec.labels, mean, std, Guard(classifier.guard.limits))
        for mean, std in dict.fromkeys(((data.mean, data.std), *USUAL))
    ]
    found = [(_right(trial, data, order), trial.spec.mean, trial.spec.std) for trial in trials]
    return sorted(found, key=lambda item: -int(item[0].sum()))


def options_of(mean: tuple[float, ...], std: tuple[float, ...]) -> str:
    """The options that say a normalisation."""
    if set(mean) == {0.0} and set(std) == {1 / 255}:
        return "--scale 255 (pixels of 0 to 255)"
    return " ".join(f"--mean {m:g} --std {s:.6g}" for m, s in zip(mean, std, strict=True))


def _right(classifier: ForeignClassifier, data: ImageData, order: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of these training images a file recognises."""
    columns = np.array([data.labels.index(label) for label in classifier.spec.labels])
    answers = columns[classifier.logits(data.train_pixels[order]).argmax(1)]
    return np.asarray(answers == data.train_labels[order])


def _scaled(pixels: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.uint8]:
    size = (spec.width, spec.height)
    planes = pixels.reshape(-1, *pixels.shape[2:])
    rows = [np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR)) for plane in planes]
    return np.stack(rows).reshape(*pixels.shape[:2], spec.height, spec.width)


def measure_accuracy(classifier: ForeignClassifier, data: ImageData) -> ForeignAccuracy:
    """Accuracy on the test images of `data`; its labels may come in another order."""
    spec = classifier.spec
    if data.test_pixels.shape[1:] != spec.pixel_shape or set(data.labels) != set(spec.labels):
        raise DataError(
            f"{data.name} has images {data.test_pixels.shape[1:]} of {', '.join(data.labels)}; {classifier.path} "
            f"takes {spec.pixel_shape} of {', '.join(spec.labels)}: choose another --dataset, or correct --labels"
        )
    order = np.array([data.labels.index(label) for label in spec.labels])
    right = int((order[classifier.logits(data.test_pixels).argmax(1)] == data.test_labels).sum())
    images = len(data.test_labels)
    return ForeignAccuracy(
        str(classifier.path), FORMAT, data.name, images, right / images, wilson_interval(right, images)
    )
