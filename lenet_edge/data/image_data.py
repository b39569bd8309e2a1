"""A data set whole in memory, and its splits."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet_edge.data.augmentation import Augmentation
from lenet_edge_runtime.errors import DataError
from lenet_edge_runtime.spec import Fit, Polarity

Pixels = NDArray[np.uint8]  # [n, channels, height, width]
Labels = NDArray[np.int64]  # [n]

VALIDATION_SHARE = 1 / 12  # 5,000 of MNIST's 60,000
PIECE = 64  # images that are summed at a time
SIZES = range(16, 97)


@dataclass(frozen=True)
class ImageForm:
    """What a user's own images are made into, and what happens to those that cannot be read.

    `size` is the side in pixels, `channels` 1 (grey) or 3 (colour). `val` is a folder of class folders to validate on.
    Without `skip_unreadable` a file that is no image is an error.
    """

    size: int = 28
    channels: int = 1
    val: Path | None = None
    skip_unreadable: bool = False

    def __post_init__(self) -> None:
        """Raise DataError for a size or a number of channels that there is not."""
        if self.size not in SIZES:
            raise DataError(f"images are made {SIZES[0]} to {SIZES[-1]} pixels wide, got --size {self.size}")
        if self.channels not in (1, 3):
            raise DataError(f"images have 1 channel (grey) or 3 (colour), got --channels {self.channels}")


@dataclass(frozen=True)
class ImageData:
    """A data set, whole in memory: images uint8 [n, c, h, w], labels int64 [n] that index `labels`."""

    name: str
    labels: tuple[str, ...]
    train_pixels: Pixels
    train_labels: Labels
    test_pixels: Pixels
    test_labels: Labels
    md5s: Mapping[str, str]
    polarity: Polarity
    augmentation: Augmentation
    folder: Path | None = None  # where a user's own images lie; None for the data sets of the table
    fit: Fit = "resize"  # how an image of another size is brought to this one's
    validation_images: int = 0  # that the user gave: the last of the training images; 0: they are drawn by the seed
    form: ImageForm | None = None  # that a user's own images were read in
    remarks: tuple[str, ...] = ()  # what a user has to know of how the images came in

    def split(self, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Indices of the training images to train on, and of those to validate on, each sorted."""
        if self.validation_images:
            every = np.arange(len(self.train_labels))
            return every[: -self.validation_images], every[-self.validation_images :]
        return split_indices(self.train_labels, VALIDATION_SHARE, seed)

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of the training pixels scaled to [0, 1], one number a channel, in four digits as usually quoted."""
        return self._mean_and_std[0]

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of the training pixels scaled to [0, 1], like `mean`."""
        return self._mean_and_std[1]

    @cached_property
    def _mean_and_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        # Sums of whole numbers, exact in float64, over pieces that stay within the cache: 20 times as fast as
        # NumPy's own on MNIST.
        channels, count = self.train_pixels.shape[1], self.train_pixels[:, 0].size
        sums = np.zeros((2, channels))
        for start in range(0, len(self.train_pixels), PIECE):
            piece = self.train_pixels[start : start + PIECE].astype(np.float64)
            sums += piece.sum((0, 2, 3)), np.einsum("nchw,nchw->c", piece, piece)
        mean = sums[0] / count
        std = np.sqrt(sums[1] / count - mean**2)
        return _in_four_digits(mean / 255), _in_four_digits(std / 255)


def _in_four_digits(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)


def split_indices(labels: Labels, fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split 0..n-1 in two, in the same proportion in every class: (rest, held out), each sorted.

    `fraction` of every class, rounded and at least one image, is held out.
    """
    generator = np.random.default_rng(seed)
    held_out: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = max(1, round(len(members) * fraction))
        if count >= len(members):
            raise DataError(f"class number {label} has {len(members)} image(s), too few to split; add images")
        held_out.append(generator.permutation(members)[:count])
    chosen = np.sort(np.concatenate(held_out))
    rest = np.setdiff1d(np.arange(len(labels)), chosen, assume_unique=True)
    return rest, chosen


def with_test_split(
    name: str,
    names: tuple[str, ...],
    pixels: Pixels,
    labels: Labels,
    fraction: float,
    md5s: Mapping[str, str],
    augmentation: Augmentation,
) -> ImageData:
    """Images of one part, with `fraction` of each class put aside for testing: the same ones for every seed."""
    train, test = split_indices(labels, fraction, seed=0)
    return ImageData(
        name=name,
        labels=names,
        train_pixels=pixels[train],
        train_labels=labels[train],
        test_pixels=pixels[test],
        test_labels=labels[test],
        md5s=md5s,
        polarity="light-on-dark",
        augmentation=augmentation,
    )
