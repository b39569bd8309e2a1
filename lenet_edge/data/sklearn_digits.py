"""The UCI digits that scikit-learn carries (Alpaydin & Kaynak 1998): they need no download."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from lenet_edge.data.image_data import ImageData, with_test_split
from lenet_edge.data.source import Source

IMAGE_SIZE = 28


def load_digits_set(row: Source, _folders: list[Path]) -> ImageData:
    """1,797 handwritten digits of 8 x 8 points in 17 greys, drawn as MNIST is: in a 20 x 20 box amid 28 x 28."""
    from PIL import Image
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.zeros((len(bunch.images), 1, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    for target, points in zip(pixels, bunch.images, strict=True):
        grey = Image.fromarray(np.rint(points * (255 / 16)).astype(np.uint8))
        target[0, 4:24, 4:24] = np.asarray(grey.resize((20, 20), Image.Resampling.BICUBIC))
    labels = bunch.target.astype(np.int64)
    md5 = hashlib.md5(bunch.images.tobytes() + labels.tobytes(), usedforsecurity=False).hexdigest()
    # The set has no test part of its own: a third is put aside, the same third for every seed of training.
    data = with_test_split(row.name, row.labels, pixels, labels, 1 / 3, {"digits": md5}, row.augmentation)
    return replace(data, fit=row.fit)
