"""How a classifier does on spoilt test images: the mean accuracy over the kinds of MNIST-C, and each kind's."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet_edge.data.corruptions import KINDS, corrupted
from lenet_edge.data.corruptions.kinds import check_shape
from lenet_edge.data.image_data import ImageData, Labels, Pixels
from lenet_edge.evaluation.statistics import clustered_interval, wilson_interval

PER_KIND = 2000  # test images of each kind unless more are asked for


@dataclass(frozen=True)
class CorruptionScore:
    """Accuracy on the images of one kind, a fraction, with Wilson's 95 % interval."""

    kind: str
    accuracy: float
    accuracy_ci95: tuple[float, float]


@dataclass(frozen=True)
class Corruptions:
    """Accuracies, as fractions, on `images` test images, each spoilt once in every kind.

    `accuracy` is the mean over the kinds; its interval counts an image once, however many kinds it was spoilt in
    (`clustered_interval`). `clean_accuracy` is that of the same images before.
    """

    images: int
    seed: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    clean_accuracy: float
    kinds: list[CorruptionScore]


def drawn_images(data: ImageData, count: int, seed: int = 0) -> tuple[Pixels, Labels]:
    """`count` test images and their labels, drawn without repetition, in their order; all where there are no more."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(data.test_labels))[:count])
    return data.test_pixels[chosen], data.test_labels[chosen]


def measure_corruptions(
    logits: Callable[[Pixels], NDArray[np.float32]], data: ImageData, per_kind: int = PER_KIND, seed: int = 0
) -> Corruptions:
    """Run `per_kind` test images through `logits`, [n, classes] in the order of the data's labels, in every kind.

    Raises DataError for images that are not grey and 28 x 28.
    """
    check_shape(data.test_pixels.shape[1:])
    pixels, labels = drawn_images(data, per_kind, seed)
    right = np.stack([logits(corrupted(pixels, kind, seed)).argmax(1) == labels for kind in KINDS])
    shares = right.mean(axis=0)
    return Corruptions(
        images=len(labels),
        seed=seed,
        accuracy=float(shares.mean()),
        accuracy_ci95=clustered_interval(shares, len(KINDS)),
        clean_accuracy=float((logits(pixels).argmax(1) == labels).mean()),
        kinds=[
            CorruptionScore(kind, float(row.mean()), wilson_interval(int(row.sum()), len(labels)))
            for kind, row in zip(KINDS, right, strict=True)
        ],
    )
