"""A folder of the user's own images: one sub-folder a class, or `train`, `val` and `test` folders of such."""

from collections.abc import Iterator
from pathlib import Path

from lenet_edge.data.image_data import ImageData, ImageForm
from lenet_edge.data.own_images import PARTS, Labelled, Part, assemble, classes_of
from lenet_edge_runtime.errors import DataError


def load_folder(folder: Path, form: ImageForm) -> ImageData:
    """Read a folder with one sub-folder of images per class, or `train` and `test` (and `val`) folders of such.

    Images of any size, grey or colour, become what `form` says. Without a `test` folder a fifth of each class is put
    aside for testing, the same fifth every time. Raises DataError for an empty class or a file that is no image.
    """
    parts = {path.name.lower(): path for path in classes_of(folder)}
    if {"train", "test"} <= set(parts) <= set(PARTS):
        places: dict[Part, Path] = {PARTS[name]: path for name, path in parts.items()}
    else:
        places = {"": folder}
    if form.val is not None:
        places["val"] = form.val
    names = class_names(places.get("train", folder))
    for place in places.values():
        if (found := class_names(place)) != names:
            raise DataError(f"{folder} and {place} hold different classes: {names} and {found}")
    items = [item for part, place in places.items() for item in _labelled(place, names, part)]
    return assemble(items, form, folder, names)


def class_names(folder: Path) -> tuple[str, ...]:
    """The names of a folder's class folders; raises DataError for fewer than two."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give one with a sub-folder of images per class")
    names = tuple(path.name for path in classes_of(folder))
    if len(names) < 2:
        raise DataError(
            f"{folder} holds {len(names)} class folder(s); it needs two or more, one sub-folder of images per class"
        )
    return names


def _labelled(folder: Path, names: tuple[str, ...], part: Part) -> Iterator[Labelled]:
    for name in names:
        files = sorted(path for path in (folder / name).iterdir() if path.is_file() and path.name[0] != ".")
        if not files:
            raise DataError(f"the class folder {folder / name} is empty; add images or remove the folder")
        yield from (Labelled(path, name, part) for path in files)
