"""A user's own images: labelled paths or arrays become an `ImageData` of one size; what was done to them is counted."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lenet_edge.data.augmentation import Augmentation
from lenet_edge.data.image_data import ImageData, ImageForm, Labels, Pixels, split_indices
from lenet_edge_runtime.errors import DataError, ImageError
from lenet_edge_runtime.fitting import fit_image
from lenet_edge_runtime.images import read_image
from lenet_edge_runtime.processes import in_order
from lenet_edge_runtime.spec import ModelSpec

NAME = "images"  # of a user's own data: a folder's or a file's own name stays out of every file that is passed on
AUGMENTATION = Augmentation(rotation_degrees=4, scale=0.05, shear=0, shift_pixels=1.5)  # of 28
TEST_SHARE = 0.2
BATCH = 256  # images that a process reads at a time
_jobs: ContextVar[int] = ContextVar("jobs", default=1)  # see `read_by`
Part = Literal["", "train", "val", "test"]  # "": to be split
PARTS: dict[str, Part] = {
    "": "", "train": "train", "training": "train", "test": "test", "testing": "test",
    "val": "val", "valid": "val", "validation": "val",
}  # fmt: skip


@dataclass(frozen=True)
class Labelled:
    """An image, as a path or an array (see `read_image`), its label, and the part of the data it belongs to."""

    image: Path | bytes | NDArray[np.generic]
    label: str
    part: Part = ""


def assemble(items: Sequence[Labelled], form: ImageForm, source: Path, names: Sequence[str] = ()) -> ImageData:
    """Read all images and split them: into the parts they name, or a fifth of each class for testing.

    Classes are in the order of `names`, or of the alphabet. Raises DataError where there are fewer than two, where a
    part lacks one, and, unless the form says to leave them out, for images that cannot be read.
    """
    labels = tuple(names) or tuple(sorted({item.label for item in items}))
    if len(labels) < 2:
        raise DataError(f"{source} holds {len(labels)} class(es); it needs two or more")
    read = _Reader(form, labels)
    parts = sorted({item.part for item in items})
    if [part for part in parts if part != "val"] not in ([""], ["test", "train"]):
        raise DataError(f"{source} names the parts {', '.join(parts)}: it needs both train and test, or neither")
    pixels = {part: read.part([item for item in items if item.part == part]) for part in parts}
    read.finish(source)
    md5s: dict[str, str] = {part or "images": _md5(*pixels[part]) for part in parts}
    if "" in pixels:
        every = pixels.pop("")
        train, test = split_indices(every[1], TEST_SHARE, seed=0)
        pixels |= {"train": _taken(every, train), "test": _taken(every, test)}
    for part, (_, found) in pixels.items():
        if missing := [label for index, label in enumerate(labels) if index not in found]:
            raise DataError(f"{source} has no {part} image of {', '.join(missing)}; add some, or leave that class out")
    validation = pixels.get("val", (pixels["train"][0][:0], pixels["train"][1][:0]))
    return ImageData(
        name=NAME,
        labels=labels,
        train_pixels=np.concatenate([pixels["train"][0], validation[0]]),
        train_labels=np.concatenate([pixels["train"][1], validation[1]]),
        test_pixels=pixels["test"][0],
        test_labels=pixels["test"][1],
        md5s=md5s,
        polarity="any",
        augmentation=replace(AUGMENTATION, shift_pixels=AUGMENTATION.shift_pixels * form.size / 28),
        folder=source,
        validation_images=len(validation[1]),
        form=form,
        remarks=read.remarks(),
    )


@contextlib.contextmanager
def read_by(jobs: int) -> Iterator[None]:
    """Within, files of the user's own images are read by so many processes."""
    before = _jobs.set(jobs)
    try:
        yield
    finally:
        _jobs.reset(before)


@dataclass(frozen=True)
class _Batch:
    """Images that were read: pixels of the readable ones, how many had another size, and why the others are not."""

    pixels: Pixels  # [n, c, side, side]
    readable: list[bool]
    resized: int
    complaints: list[str]


def _read_batch(form: ImageForm, images: Sequence[Path | bytes | NDArray[np.generic]]) -> _Batch:
    # Only the size matters here: polarity "any" leaves the images as they are, and they are resized.
    zeros, ones = (0.0,) * form.channels, (1.0,) * form.channels
    spec = ModelSpec(("0", "1"), form.size, form.size, mean=zeros, std=ones)
    pixels, readable, resized, complaints = list[Pixels](), list[bool](), 0, list[str]()
    for source in images:
        try:
            image = read_image(source, form.channels)
        except ImageError as error:
            complaints.append(str(error))
            readable.append(False)
            continue
        readable.append(True)
        resized += image.size != (form.size, form.size)
        pixels.append(fit_image(image, spec).pixels)
    empty = np.zeros((0, *spec.pixel_shape), np.uint8)
    return _Batch(np.stack(pixels) if pixels else empty, readable, resized, complaints)


class _Reader:
    """Reads images into one form, and counts what was resized and what was left out."""

    def __init__(self, form: ImageForm, labels: tuple[str, ...]) -> None:
        self.form, self.labels = form, labels
        self.read = self.resized = 0
        self.unreadable: list[str] = []

    def part(self, items: Sequence[Labelled]) -> tuple[Pixels, Labels]:
        """The images of one part and the numbers of their classes."""
        indices = {label: index for index, label in enumerate(self.labels)}
        for item in items:
            if item.label not in indices:
                raise DataError(f"the label {item.label!r} is none of {', '.join(self.labels)}")
        work = partial(_read_batch, self.form)
        batches = ([item.image for item in items[start : start + BATCH]] for start in range(0, len(items), BATCH))
        several = _jobs.get() > 1 and len(items) > BATCH and isinstance(items[0].image, Path)
        found = list(in_order(work, batches, _jobs.get()) if several else map(work, batches)) or [work([])]
        for batch in found:
            self.read += sum(batch.readable)
            self.resized += batch.resized
            self.unreadable += batch.complaints
        kept = np.array([readable for batch in found for readable in batch.readable], bool)
        labels = np.array([indices[item.label] for item in items], np.int64)[kept]
        return np.concatenate([batch.pixels for batch in found]), labels

    def finish(self, source: Path) -> None:
        """Raise DataError for images that could not be read, where that was not allowed, or all of them."""
        if self.unreadable and (not self.form.skip_unreadable or not self.read):
            others = f" (and {len(self.unreadable) - 1} more in {source})" if self.unreadable[1:] else ""
            raise DataError(f"{self.unreadable[0]}{others}; remove or replace it, or give --skip-unreadable")

    def remarks(self) -> tuple[str, ...]:
        """What a user has to know of how the images came in."""
        side = f"{self.form.size} x {self.form.size}"
        found = [f"{self.resized:,} of {self.read:,} images were resized to {side}"] if self.resized else []
        if self.unreadable:
            found.append(
                f"{len(self.unreadable):,} files that are no images were left out, the first: {self.unreadable[0]}"
            )
        return tuple(found)


def _taken(part: tuple[Pixels, Labels], indices: NDArray[np.int64]) -> tuple[Pixels, Labels]:
    return part[0][indices], part[1][indices]


def _md5(pixels: Pixels, labels: Labels) -> str:
    return hashlib.md5(pixels.tobytes() + labels.tobytes(), usedforsecurity=False).hexdigest()


def part_named(name: str) -> Part:
    """The part that a folder, a column or an array is named for; raises DataError for another name."""
    if name.lower() not in PARTS:
        raise DataError(f"{name!r} is no part of a data set: train, val or test")
    return PARTS[name.lower()]


def classes_of(folder: Path) -> Iterator[Path]:
    """The sub-folders that count, by name."""
    return (path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith("."))
