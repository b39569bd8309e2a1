"""Image classification data as whole uint8 arrays: MNIST and its kin, scikit-learn's digits, or a folder of images.

Sources: LeCun et al. 1998 (MNIST), Xiao et al. 2017 (Fashion-MNIST), Clanuwat et al. 2018 (KMNIST), Alpaydin &
Kaynak 1998 (the UCI digits that scikit-learn carries).
"""

import gzip
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from lenet_edge.data.augmentation import Augmentation
from lenet_edge_runtime.errors import DataError, ImageError
from lenet_edge_runtime.fitting import fit_image
from lenet_edge_runtime.images import read_image
from lenet_edge_runtime.spec import Fit, ModelSpec, Polarity

Pixels = NDArray[np.uint8]  # [n, channels, height, width]
Labels = NDArray[np.int64]  # [n]

DATA_VARIABLE = "LENET_EDGE_DATA"
IMAGE_SIZE = 28
FOLDER_NAME = "images"  # of a user's own data: the folder's own name stays out of every file that is passed on
DIGIT_NAMES = tuple("0123456789")


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

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of the training pixels scaled to [0, 1], one number a channel, in four digits as usually quoted."""
        return tuple(round(float(value), 4) for value in self.train_pixels.mean(axis=(0, 2, 3)) / 255)

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of the training pixels scaled to [0, 1], like `mean`."""
        return tuple(round(float(value), 4) for value in self.train_pixels.std(axis=(0, 2, 3)) / 255)


@dataclass(frozen=True)
class Source:
    """A row of the table of data sets; `load` gets the row and the folders to look in."""

    name: str
    title: str
    labels: tuple[str, ...]
    load: Callable[["Source", list[Path]], ImageData]
    augmentation: Augmentation  # changes that leave the label as it is: a property of the images
    torchvision_name: str = ""  # class in torchvision.datasets, and the folder's name in its layout
    md5s: Mapping[str, str] = field(default_factory=dict)  # file -> md5, as torchvision checks them
    fit: Fit = "resize"


def load_dataset(name: str, data_dir: Path | None = None) -> ImageData:
    """Load a data set of the table by its name, or a folder with one sub-folder of images a class by its path.

    Files are looked for in `data_dir`, then in $LENET_EDGE_DATA, then in the user's cache folder, and downloaded
    into the cache where they are nowhere. Raises DataError for anything missing, damaged or unknown.
    """
    if name in DATASETS:
        row = DATASETS[name]
        return row.load(row, search_path(data_dir))
    if Path(name).is_dir():
        return load_folder(Path(name))
    raise DataError(
        f"no data set and no folder is called {name!r}; choose {', '.join(DATASETS)}, "
        f"or give the path of a folder with one sub-folder of images per class"
    )


def search_path(data_dir: Path | None) -> list[Path]:
    """The folders in which data is looked for, in order; the last is the cache, the only one ever written to."""
    given = [data_dir] if data_dir else []
    lent = [Path(os.environ[DATA_VARIABLE])] if os.environ.get(DATA_VARIABLE) else []
    return [*given, *lent, user_cache_path("lenet-edge")]


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


# --- the official gz files ---------------------------------------------------------------------------------------


def _load_idx(row: Source, folders: list[Path]) -> ImageData:
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
    try:
        from torchvision import datasets
    except RuntimeError as error:  # "operator torchvision::nms does not exist"
        raise DataError(
            f"torchvision does not fit the installed torch ({error}); "
            f"install both from one place: pip install --force-reinstall torch torchvision"
        ) from None
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


def _read_idx(path: Path, md5: str) -> NDArray[np.uint8]:
    """Read an IDX file of bytes (magic 00 00 08 ndim, big-endian sizes, then the data), gzip-compressed."""
    content = path.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(
            f"{path} is damaged: its md5 is {found}, the official file's is {md5}; "
            f"delete it, so that it is downloaded again, or copy it anew"
        )
    data = gzip.decompress(content)
    shape = [int.from_bytes(data[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


# --- scikit-learn's digits ---------------------------------------------------------------------------------------


def _load_digits(row: Source, _folders: list[Path]) -> ImageData:
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
    data = _with_test_split(row.name, row.labels, pixels, labels, 1 / 3, {"digits": md5}, row.augmentation)
    return replace(data, fit=row.fit)


def _with_test_split(
    name: str,
    names: tuple[str, ...],
    pixels: Pixels,
    labels: Labels,
    fraction: float,
    md5s: Mapping[str, str],
    augmentation: Augmentation,
    folder: Path | None = None,
) -> ImageData:
    train, test = split_indices(labels, fraction, seed=0)
    return ImageData(
        name=name,
        labels=names,
        train_pixels=pixels[train],
        train_labels=labels[train],
        test_pixels=pixels[test],
        test_labels=labels[test],
        md5s=md5s,
        polarity="any" if folder else "light-on-dark",
        augmentation=augmentation,
        folder=folder,
    )


# --- a folder of the user's own ----------------------------------------------------------------------------------


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
            "any", _FOLDER_AUGMENTATION, folder,
        )  # fmt: skip
    names = _class_names(folder)
    pixels, labels = _read_classes(folder, names)
    md5s = {"images": _md5(pixels, labels)}
    return _with_test_split(FOLDER_NAME, names, pixels, labels, 0.2, md5s, _FOLDER_AUGMENTATION, folder)


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


# --- the table ---------------------------------------------------------------------------------------------------

_DIGIT_AUGMENTATION = Augmentation(rotation_degrees=7, scale=0.07, shear=0.1, shift_pixels=1.4)
_FOLDER_AUGMENTATION = Augmentation(rotation_degrees=4, scale=0.05, shear=0, shift_pixels=1.5)
_FASHION_AUGMENTATION = Augmentation(rotation_degrees=4, scale=0.05, shear=0, shift_pixels=1.5, flip=True)

_IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def _idx_md5s(*md5s: str) -> dict[str, str]:
    return dict(zip(_IDX_FILES, md5s, strict=True))


DATASETS = {
    row.name: row
    for row in (
        Source(
            name="mnist",
            title="MNIST",
            labels=DIGIT_NAMES,
            load=_load_idx,
            augmentation=_DIGIT_AUGMENTATION,
            torchvision_name="MNIST",
            md5s=_idx_md5s(
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "9fb629c4189551a2d022fa330f9573f3",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
            fit="mnist",
        ),
        Source(
            name="fashion-mnist",
            title="Fashion-MNIST",
            labels=(
                "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
            ),
            load=_load_idx,
            augmentation=_FASHION_AUGMENTATION,
            torchvision_name="FashionMNIST",
            md5s=_idx_md5s(
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
        ),
        Source(
            name="kmnist",
            title="KMNIST",
            labels=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
            load=_load_idx,
            augmentation=_DIGIT_AUGMENTATION,
            torchvision_name="KMNIST",
            md5s=_idx_md5s(
                "bdb82020997e1d708af4cf47b453dcf7",
                "e144d726b3acfaa3e44228e80efcd344",
                "5c965bf0a639b31b8f53240b1b52f4d7",
                "7320c461ea6c1c855c0b718fb2a4b134",
            ),
        ),
        Source(
            name="digits",
            title="scikit-learn's digits",
            labels=DIGIT_NAMES,
            load=_load_digits,
            augmentation=_DIGIT_AUGMENTATION,
            fit="mnist",
        ),
    )
}  # fmt: skip
