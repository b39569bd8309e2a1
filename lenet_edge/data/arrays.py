"""The user's own images as arrays: an .npz file, or the four IDX files of MNIST's layout."""

import gzip
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet_edge.data.idx_files import parse_idx
from lenet_edge.data.image_data import ImageData, ImageForm
from lenet_edge.data.own_images import Labelled, Part, assemble
from lenet_edge_runtime.errors import DataError
from lenet_edge_runtime.reading import read_bytes, read_text

NPZ_BYTES = 2048 * 2**20  # what is trained on lies in memory as a whole anyway
# Keras' names, and plain ones; the first pair that is there counts.
ARRAYS: dict[Part, tuple[tuple[str, str], ...]] = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels")),
    "val": (("x_val", "y_val"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
    "": (("images", "labels"), ("x", "y"), ("arr_0", "arr_1")),
}
IDX_FILES: dict[Part, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def load_npz(path: Path, form: ImageForm) -> ImageData:
    """Read `x_train`, `y_train`, `x_test`, `y_test` (or `images`, `labels`) of an .npz; `names` may name the classes.

    Images are [n, h, w] or [n, h, w, c], uint8 or float in [0, 1]; labels are integers [n] or texts. Nothing pickled
    is read. Raises DataError for arrays of other shapes.
    """
    try:
        with np.load(io.BytesIO(read_bytes(path, NPZ_BYTES)), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except Exception as error:  # zipfile, zlib and NumPy's header each raise their own for a damaged file
        raise DataError(f"{path} is no .npz file of plain arrays ({str(error) or type(error).__name__})") from None
    pairs: dict[Part, tuple[NDArray[np.generic], NDArray[np.generic]]] = {}
    for part, keys in ARRAYS.items():
        if found := next((pair for pair in keys if set(pair) <= set(arrays)), None):
            pairs[part] = (arrays[found[0]], arrays[found[1]])
    if "train" in pairs:
        pairs.pop("", None)
    if not pairs:
        raise DataError(
            f"{path} holds {', '.join(arrays) or 'nothing'}; it needs x_train and y_train, or images and labels"
        )
    names = [str(name) for name in arrays["names"]] if "names" in arrays else None
    return _assembled(path, pairs, form, names)


def is_idx_folder(folder: Path) -> bool:
    """Whether a folder holds the four files of MNIST's layout, gzip-compressed or not."""
    return all(_file(folder, name) for pair in IDX_FILES.values() for name in pair)


def load_idx_folder(folder: Path, form: ImageForm) -> ImageData:
    """Read the four IDX files of a user's own data; `labels.txt` beside them may name the classes, one a line."""
    pairs: dict[Part, tuple[NDArray[np.generic], NDArray[np.generic]]] = {}
    for part, (images, labels) in IDX_FILES.items():
        pairs[part] = (_read(folder, images), _read(folder, labels))
    listed = folder / "labels.txt"
    names = read_text(listed).split("\n") if listed.is_file() else None
    return _assembled(folder, pairs, form, [name.strip() for name in names if name.strip()] if names else None)


def _file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _read(folder: Path, name: str) -> NDArray[np.uint8]:
    path = _file(folder, name)
    assert path is not None
    try:
        content = read_bytes(path)
        return parse_idx(gzip.decompress(content) if path.suffix == ".gz" else content)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise DataError(f"{path} is no IDX file of bytes ({error})") from None


def _assembled(
    source: Path,
    pairs: Mapping[Part, tuple[NDArray[np.generic], NDArray[np.generic]]],
    form: ImageForm,
    names: list[str] | None,
) -> ImageData:
    for images, labels in pairs.values():
        if images.ndim not in (3, 4) or labels.reshape(len(labels), -1).shape[1:] != (1,) or len(images) != len(labels):
            raise DataError(
                f"{source} has images of shape {images.shape} and labels of shape {labels.shape}; "
                f"it takes [n, h, w] or [n, h, w, c], and [n]"
            )
    numbers = all(np.issubdtype(labels.dtype, np.integer) for _, labels in pairs.values())
    if numbers:
        count = 1 + max(int(labels.max()) for _, labels in pairs.values())
        names = names or [str(index) for index in range(count)]
        if count > len(names) or min(int(labels.min()) for _, labels in pairs.values()) < 0:
            raise DataError(f"{source} has labels up to {count - 1} and {len(names)} names")
    order = names or []
    items = [item for part, pair in pairs.items() for item in _labelled(part, *pair, order if numbers else None)]
    return assemble(items, form, source, order)


def _labelled(
    part: Part, images: NDArray[np.generic], labels: NDArray[np.generic], names: list[str] | None
) -> Iterator[Labelled]:
    for image, label in zip(images, labels.reshape(-1), strict=True):
        yield Labelled(image, str(label) if names is None else names[int(label)], part)
