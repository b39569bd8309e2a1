"""A Hugging Face data set on disk: a folder by `save_to_disk`, or parquet files; read by the library `datasets`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lenet_edge.data.image_data import ImageData, ImageForm
from lenet_edge.data.own_images import PARTS, Labelled, assemble, part_named
from lenet_edge_runtime.errors import DataError

MARKS = ("dataset_dict.json", "dataset_info.json")
IMAGE_KEYS, LABEL_KEYS = ("image", "img", "pixel_values"), ("label", "labels", "fine_label")


def is_hugging_face(path: Path) -> bool:
    """Whether a path is a folder by `save_to_disk`, a parquet file, or a folder of parquet files."""
    if path.is_dir():
        return any((path / mark).is_file() for mark in MARKS) or any(path.glob("*.parquet"))
    return path.suffix.lower() == ".parquet"


def load_hugging_face(path: Path, form: ImageForm) -> ImageData:
    """Read the columns `image` and `label` of every split; class names come from the label's own feature.

    Raises DataError where the library is missing, or a split has no such columns.
    """
    try:
        import datasets
    except ImportError:
        raise DataError(f"{path} needs the library datasets: pip install 'lenet-edge[hf]'") from None
    try:
        splits = _splits(datasets, path)
    except Exception as error:  # the library's, pyarrow's, and JSON's, each of its own kind
        raise DataError(f"{path} cannot be read by the library datasets ({str(error).splitlines()[0]})") from None
    names = _names(next(iter(splits.values())))
    items = [item for name, split in splits.items() for item in _labelled(path, name, split, names)]
    return assemble(items, form, path, names or ())


def _splits(datasets: Any, path: Path) -> Mapping[str, Any]:
    if path.is_dir() and any((path / mark).is_file() for mark in MARKS):
        found = datasets.load_from_disk(str(path))
        return found if isinstance(found, Mapping) else {"": found}
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    by_part: dict[str, list[str]] = {}
    for file in files:
        stem = file.stem.split("-")[0].lower()  # train-00000-of-00001.parquet
        by_part.setdefault(stem if stem in PARTS and len(files) > 1 else "", []).append(str(file))
    return {
        part: datasets.concatenate_datasets([datasets.Dataset.from_parquet(name) for name in paths])
        for part, paths in by_part.items()
    }


def _names(split: Any) -> list[str] | None:
    feature = next((split.features[key] for key in LABEL_KEYS if key in split.features), None)
    names = getattr(feature, "names", None)  # of a ClassLabel; a plain number or text has none
    return None if names is None else list(names)


def _labelled(path: Path, part: str, split: Any, names: list[str] | None) -> Iterator[Labelled]:
    image_key = next((key for key in IMAGE_KEYS if key in split.features), None)
    label_key = next((key for key in LABEL_KEYS if key in split.features), None)
    if image_key is None or label_key is None:
        raise DataError(f"{path} has the columns {', '.join(split.features)}; it needs image and label")
    for row in split:
        image, label = row[image_key], row[label_key]
        content = image["bytes"] if isinstance(image, Mapping) else image
        yield Labelled(content, names[label] if names else str(label), part_named(part))
