"""EMNIST (Cohen et al. 2017, arXiv:1702.05373): handwritten letters and digits in MNIST's form, by torchvision.

Its archive holds the images lying on their side; torchvision unpacks it into uncompressed IDX files.
"""

import hashlib
import string
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet_edge.data.idx_files import IDX_BYTES, parse_idx, torchvision_datasets
from lenet_edge.data.image_data import ImageData
from lenet_edge.data.source import Source
from lenet_edge_runtime.errors import DataError
from lenet_edge_runtime.reading import read_bytes

# Of the 62 characters those lower-case letters are left out that look as their capitals do.
MERGED = set("cijklmopsuvwxyz")
EMNIST_LABELS = {
    "letters": tuple(string.ascii_uppercase),
    "balanced": tuple(c for c in string.digits + string.ascii_uppercase + string.ascii_lowercase if c not in MERGED),
    "digits": tuple(string.digits),
    "byclass": tuple(string.digits + string.ascii_uppercase + string.ascii_lowercase),
}
FIRST_LABEL = {"letters": 1}  # the others count from 0


def load_emnist(row: Source, folders: list[Path]) -> ImageData:
    """The four files of a split, from the first folder that has them all, else by torchvision's download."""
    split = row.name.removeprefix("emnist-")
    names = [
        f"emnist-{split}-{part}-{kind}-ubyte" for part in ("train", "test") for kind in ("images-idx3", "labels-idx1")
    ]
    raw = next(
        (found for folder in folders if all(((found := folder / "EMNIST" / "raw") / name).is_file() for name in names)),
        None,
    ) or _download(split, folders)
    contents = {name: _read(raw / name) for name in names}
    train_images, train_labels, test_images, test_labels = (array for _, array in contents.values())
    first = FIRST_LABEL.get(split, 0)
    return ImageData(
        name=row.name,
        labels=row.labels,
        train_pixels=_upright(train_images),
        train_labels=train_labels.astype(np.int64) - first,
        test_pixels=_upright(test_images),
        test_labels=test_labels.astype(np.int64) - first,
        md5s={name: md5 for name, (md5, _) in contents.items()},
        polarity="light-on-dark",
        augmentation=row.augmentation,
        fit=row.fit,
    )


def _upright(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(images.transpose(0, 2, 1))[:, None]


def _read(path: Path) -> tuple[str, NDArray[np.uint8]]:
    try:
        content = read_bytes(path, 16 * IDX_BYTES)
        return hashlib.md5(content, usedforsecurity=False).hexdigest(), parse_idx(content)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(
            f"{path} is damaged ({error}); delete the folder {path.parent}, so that it is downloaded again"
        ) from None


def _download(split: str, folders: list[Path]) -> Path:
    datasets = torchvision_datasets()
    try:
        datasets.EMNIST(folders[-1], split=split, download=True)
    except (RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise DataError(
            f"EMNIST is not here and could not be downloaded ({reason}); "
            f"put its IDX files into {folders[-1] / 'EMNIST' / 'raw'}, or use --dataset mnist"
        ) from None
    return folders[-1] / "EMNIST" / "raw"
