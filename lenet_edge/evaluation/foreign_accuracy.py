"""Classifiers of other tools: their labels and their accuracy. Needs no torch."""

from dataclasses import dataclass

import numpy as np

from lenet_edge.data.image_data import ImageData
from lenet_edge.evaluation.statistics import wilson_interval
from lenet_edge_runtime.errors import DataError
from lenet_edge_runtime.foreign_classifier import ForeignClassifier
from lenet_edge_runtime.reading import read_text

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
