"""The table of data sets, and how one of them, or a folder of images, is found and loaded."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from platformdirs import user_cache_path

from lenet_edge.data.arrays import is_idx_folder, load_idx_folder, load_npz
from lenet_edge.data.augmentation import Augmentation
from lenet_edge.data.emnist import EMNIST_LABELS, load_emnist
from lenet_edge.data.hugging_face import is_hugging_face, load_hugging_face
from lenet_edge.data.idx_files import load_idx
from lenet_edge.data.image_data import ImageData, ImageForm
from lenet_edge.data.image_folders import load_folder
from lenet_edge.data.listings import SUFFIXES as LISTINGS
from lenet_edge.data.listings import load_listing
from lenet_edge.data.sklearn_digits import load_digits_set
from lenet_edge.data.source import Source
from lenet_edge_runtime.errors import DataError
from lenet_edge_runtime.near_names import did_you_mean, near_path
from lenet_edge_runtime.spec import ModelSpec

DATA_VARIABLE = "LENET_EDGE_DATA"
DIGIT_NAMES = tuple("0123456789")


def load_dataset(name: str, data_dir: Path | None = None, form: ImageForm | None = None) -> ImageData:
    """Load a data set of the table by its name, or the user's own images by their path, in the given form.

    Files are looked for in `data_dir`, then in $LENET_EDGE_DATA, then in the user's cache folder, and downloaded
    into the cache where they are nowhere. Raises DataError for anything missing, damaged or unknown.
    """
    if name not in DATASETS:
        return _load_own(name, form or ImageForm())
    row = DATASETS[name]
    data = row.load(row, search_path(data_dir))
    if form is not None and data.train_pixels.shape[1:] != (form.channels, form.size, form.size):
        raise DataError(f"{name} has images {data.train_pixels.shape[1:]}: --size and --channels are for your own")
    if form is not None and form.val is not None:
        raise DataError(f"{name} is validated on a part of its training images: --val is for your own")
    return data


def find_dataset(name: str, data_dir: Path | None, md5s: Mapping[str, str]) -> ImageData | None:
    """The data set, or the user's own images by their path, where this machine has them with these md5s already."""
    row = DATASETS.get(name)
    if row is None and not Path(name).exists():
        return None
    if row is not None and row.torchvision_name:
        folders = [folder / row.torchvision_name / "raw" for folder in search_path(data_dir)]
        if not any(all((folder / file).is_file() for file in md5s) for folder in folders):
            return None
    try:
        data = load_dataset(name, data_dir)
    except DataError:  # of other images, or damaged ones
        return None
    return data if dict(data.md5s) == dict(md5s) else None


def load_for(spec: ModelSpec, name: str, data_dir: Path | None = None) -> ImageData:
    """A data set for a model: the user's own images in the size and colours that it takes."""
    own = name not in DATASETS
    return load_dataset(name, data_dir, ImageForm(spec.height, spec.channels) if own else None)


def _load_own(name: str, form: ImageForm) -> ImageData:
    path = Path(name)
    if is_hugging_face(path):
        return load_hugging_face(path, form)
    if path.is_dir():
        return load_idx_folder(path, form) if is_idx_folder(path) else load_folder(path, form)
    if path.suffix.lower() in LISTINGS and path.is_file():
        return load_listing(path, form)
    if path.suffix.lower() == ".npz" and path.is_file():
        return load_npz(path, form)
    raise DataError(
        f"no data set and no folder is called {name!r}; {did_you_mean(name, DATASETS) or near_path(path)}"
        f"choose {', '.join(DATASETS)}, or give the path of your own: "
        f"a folder with one sub-folder of images per class, a .csv or .jsonl of path and label, an .npz or a .parquet"
    )


def search_path(data_dir: Path | None) -> list[Path]:
    """The folders in which data is looked for, in order; the last is the cache, the only one ever written to."""
    given = [data_dir] if data_dir else []
    lent = [Path(os.environ[DATA_VARIABLE])] if os.environ.get(DATA_VARIABLE) else []
    return [*given, *lent, user_cache_path("lenet-edge")]


_WRITING_AUGMENTATION = Augmentation(rotation_degrees=7, scale=0.07, shear=0.1, shift_pixels=1.4)
_DIGIT_AUGMENTATION = replace(
    _WRITING_AUGMENTATION,
    strange_mirrored=(2, 3, 4, 5, 6, 7, 9),
    strange_upended=(3, 4, 7),  # a 2 or a 5 stays one, a 6 becomes a 9
    strange_turned=(1, 2, 3, 4, 5, 6, 7, 8, 9),
)
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
            load=load_idx,
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
            load=load_idx,
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
            load=load_idx,
            augmentation=_WRITING_AUGMENTATION,
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
            load=load_digits_set,
            augmentation=_DIGIT_AUGMENTATION,
            fit="mnist",
        ),
        *(
            Source(
                name=f"emnist-{split}",
                title=f"EMNIST {split}",
                labels=labels,
                load=load_emnist,
                augmentation=_DIGIT_AUGMENTATION if labels == DIGIT_NAMES else _WRITING_AUGMENTATION,
                torchvision_name="EMNIST",
                fit="mnist",
            )
            for split, labels in EMNIST_LABELS.items()
        ),
    )
}  # fmt: skip
