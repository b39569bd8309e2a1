"""A folder of the user's own images, one sub-folder a class."""

import hashlib
from pathlib import Path

import numpy as np

from lenet_edge.data.augmentation import Augmentation
from lenet_edge.data.image_data import ImageData, Labels, Pixels, with_test_split
from lenet_edge_runtime.errors import DataError, ImageError
from lenet_edge_runtime.fitting import fit_image
from lenet_edge_runtime.images import read_image
from lenet_edge_runtime.spec import ModelSpec

FOLDER_NAME = "images"  # of a user's own data: the folder's own name stays out of every file that is passed on
IMAGE_SIZE = 28
AUGMENTATION = Augmentation(rotation_degrees=4, scale=0.05, shear=0, shift_pixels=1.5)


def load_folder(folder: Path) -> ImageData:
    """Read a folder with one sub-folder of images per class, or `train` and `test` folders of such sub-folders.

    Images of any size, grey or colour, become 28 x 28 grey. Without a `test` folder a fifth of each class is put
    aside for testing, the same fifth every time. Raises DataError for an empty class or a file that is no image.
    """
    subfolders = _subfolders(folder)
    if [path.name for path in subfolders] == ["test", "train"]:
        test, train = subfolders
        names = _class_names(train)
        if _class_names(test) != names:
            raise DataError(f"{train} and {test} hold different classes: {names} and {_class_names(test)}")
        train_pixels, train_labels = _read_classes(train, names)
        test_pixels, test_labels = _read_classes(test, names)
        md5s = {"train": _md5(train_pixels, train_labels), "test": _md5(test_pixels, test_labels)}
        return ImageData(
            FOLDER_NAME, names, train_pixels, train_labels, test_pixels, test_labels, md5s,
            "any", AUGMENTATION, folder,
        )  # fmt: skip
    names = _class_names(folder)
    pixels, labels = _read_classes(folder, names)
    md5s = {"images": _md5(pixels, labels)}
    return with_test_split(FOLDER_NAME, names, pixels, labels, 0.2, md5s, AUGMENTATION, folder)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(path.name for path in _subfolders(folder))
    if len(names) < 2:
        raise DataError(
            f"{folder} holds {len(names)} class folder(s); it needs two or more, one sub-folder of images per class"
        )
    return names


def _read_classes(folder: Path, names: tuple[str, ...]) -> tuple[Pixels, Labels]:
    # Only the size matters here: polarity "any" leaves the images as they are, and they are resized.
    spec = ModelSpec(names, IMAGE_SIZE, IMAGE_SIZE, mean=(0.0,), std=(1.0,))
    pixels: list[Pixels] = []
    labels: list[int] = []
    for index, name in enumerate(names):
        files = sorted(path for path in (folder / name).iterdir() if path.is_file() and path.name[0] != ".")
        if not files:
            raise DataError(f"the class folder {folder / name} is empty; add images or remove the folder")
        for path in files:
            try:
                pixels.append(fit_image(read_image(path, spec.channels), spec).pixels)
            except ImageError as error:
                raise DataError(f"{error}; remove or replace it") from None
            labels.append(index)
    return np.stack(pixels), np.array(labels, np.int64)


def _md5(pixels: Pixels, labels: Labels) -> str:
    return hashlib.md5(pixels.tobytes() + labels.tobytes(), usedforsecurity=False).hexdigest()
