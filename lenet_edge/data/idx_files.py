"""The official gz files of MNIST and its kin: found, downloaded, checked by md5, read.

Sources: LeCun et al. 1998 (MNIST), Xiao et al. 2017 (Fashion-MNIST), Clanuwat et al. 2018 (KMNIST).
"""

import gzip
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge.data.image_data import ImageData
from lenet_edge.data.source import Source
from lenet_edge_runtime.errors import DataError
from lenet_edge_runtime.reading import read_bytes

IDX_BYTES = 64 * 2**20  # the largest of the official files has 26 MB


def load_idx(row: Source, folders: list[Path]) -> ImageData:
    """The four files of a row of the table, from the first folder that has them all."""
    raw = _find(row, folders) or _download(row, folders)
    arrays = {name: _read_idx(raw / name, md5) for name, md5 in row.md5s.items()}
    train_images, train_labels, test_images, test_labels = arrays.values()
    return ImageData(
        name=row.name,
        labels=row.labels,
        train_pixels=train_images[:, None],
        train_labels=train_labels.astype(np.int64),
        test_pixels=test_images[:, None],
        test_labels=test_labels.astype(np.int64),
        md5s=dict(row.md5s),
        polarity="light-on-dark",
        augmentation=row.augmentation,
        fit=row.fit,
    )


def _find(row: Source, folders: list[Path]) -> Path | None:
    for folder in folders:
        raw = folder / row.torchvision_name / "raw"
        if all((raw / name).is_file() for name in row.md5s):
            return raw
    return None


def _download(row: Source, folders: list[Path]) -> Path:
    cache = folders[-1]
    datasets = torchvision_datasets()
    try:
        getattr(datasets, row.torchvision_name)(cache, download=True)
    except (RuntimeError, OSError) as error:
        places = " or ".join(str(folder / row.torchvision_name / "raw") for folder in folders)
        reason = str(error).strip().splitlines()[-1]
        raise DataError(
            f"{row.title} is not here and could not be downloaded ({reason}); put its .gz files into {places}, "
            f"or use --dataset digits, which needs no download"
        ) from None
    return cache / row.torchvision_name / "raw"


def torchvision_datasets() -> Any:
    """The module torchvision.datasets; raises DataError where torchvision does not fit the installed torch."""
    try:
        from torchvision import datasets
    except RuntimeError as error:  # "operator torchvision::nms does not exist"
        raise DataError(
            f"torchvision does not fit the installed torch ({error}); "
            f"install both from one place: pip install --force-reinstall torch torchvision"
        ) from None
    return datasets


def _read_idx(path: Path, md5: str) -> NDArray[np.uint8]:
    """Read a gzip-compressed IDX file that has this md5."""
    try:
        content = read_bytes(path, IDX_BYTES)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); copy it again") from None
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(
            f"{path} is damaged: its md5 is {found}, the official file's is {md5}; "
            f"delete it, so that it is downloaded again, or copy it again"
        )
    return parse_idx(gzip.decompress(content))


def parse_idx(data: bytes) -> NDArray[np.uint8]:
    """The array of an IDX file of bytes: magic 00 00 08 ndim, big-endian sizes, then the data."""
    if data[:3] != b"\0\0\x08":
        raise ValueError(f"it begins with {data[:4].hex(' ')}, not with 00 00 08")
    shape = [int.from_bytes(data[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
