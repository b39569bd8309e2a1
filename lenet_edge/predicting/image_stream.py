"""Many image files through a classifier, one batch in memory at a time. Needs no torch."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenet_edge_runtime.errors import ImageError
from lenet_edge_runtime.fitting import FitPolicy, Invert, fit_image
from lenet_edge_runtime.images import SUFFIXES, read_image
from lenet_edge_runtime.predictions import Located, Prediction, name_answers, name_parts
from lenet_edge_runtime.spec import ModelSpec
from lenet_edge_runtime.splitting import split_image

Answer = tuple[Path, Prediction | ImageError]
Digits = tuple[Path, list[Located] | ImageError]
Part = TypeVar("Part")  # of a picture: the whole, or a digit
Named = TypeVar("Named", bound=Prediction)


class AnyClassifier(Protocol):
    """`Classifier` or `ForeignClassifier`."""

    spec: ModelSpec

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw pixels, uint8 [n, c, h, w], to logits, float32 [n, classes]."""


def find_images(names: Iterable[Path]) -> Iterator[Path]:
    """The files that `names` stand for: files as they are, folders with all that is in them, and glob patterns.

    Folders are walked in the order of their names, and what is no image by its ending or starts with a dot is passed
    over. Links to folders are followed, except back to a folder they lie in. A folder that cannot be read is given
    back like a file. In a pattern `**` stands for any folders. A name that stands for no file at all is given back as
    it is, for whoever reads it to say so. In memory are the names in one folder, or those that match one pattern.
    """
    for name in names:
        found = iter((name,))
        if name.is_dir():
            found = _walk(name)
        elif glob.has_magic(str(name)) and not name.exists():
            matches = map(Path, sorted(glob.glob(str(name), recursive=True)))  # noqa: PTH207 - `name` may be absolute
            found = (path for path in matches if path.is_file())
        yield next(found, name)
        yield from found


def classify_files(
    paths: Iterable[Path],
    classifier: AnyClassifier,
    batch: int,
    invert: Invert = "auto",
    fit: FitPolicy = "auto",
    coverage: float | None = None,
) -> Iterator[Answer]:
    """Classify image files in their order, `batch` of them a call; a file that cannot be read is answered by why."""
    spec = classifier.spec
    named = partial(name_answers, spec=spec, logits=classifier.logits, coverage=coverage)
    answers = _in_batches(paths, batch, spec.channels, lambda image: [fit_image(image, spec, invert, fit)], named)
    for path, found in answers:
        yield path, found if isinstance(found, ImageError) else found[0]


def split_files(
    paths: Iterable[Path],
    classifier: AnyClassifier,
    batch: int,
    invert: Invert = "auto",
    fit: FitPolicy = "auto",
    coverage: float | None = None,
) -> Iterator[Digits]:
    """The digits of pictures in their order, those of `batch` pictures a call; else as `classify_files`."""
    spec = classifier.spec
    cut = partial(split_image, spec=spec, invert=invert, fit=fit)
    named = partial(name_parts, spec=spec, logits=classifier.logits, coverage=coverage)
    yield from _in_batches(paths, batch, spec.channels, cut, named)


def _in_batches(
    paths: Iterable[Path],
    batch: int,
    channels: int,
    made: Callable[[Image.Image], Sequence[Part]],
    named: Callable[[Sequence[Part]], Sequence[Named]],
) -> Iterator[tuple[Path, list[Named] | ImageError]]:
    """What is named of each picture's parts, those of `batch` pictures in one call of `named`."""
    remaining = iter(paths)
    while chunk := list(islice(remaining, batch)):
        pictures = [_parts(path, channels, made) for path in chunk]
        answers = iter(named([part for item in pictures if not isinstance(item, ImageError) for part in item]))
        for path, item in zip(chunk, pictures, strict=True):
            yield path, item if isinstance(item, ImageError) else list(islice(answers, len(item)))


def _parts(path: Path, channels: int, made: Callable[[Image.Image], Sequence[Part]]) -> Sequence[Part] | ImageError:
    try:
        image = read_image(path, channels)
    except ImageError as error:
        return error
    try:
        return made(image)
    except ImageError as error:  # which does not know the file
        return ImageError(f"{path}: {error}")


def _walk(folder: Path) -> Iterator[Path]:
    closed: list[Path] = []
    walk = os.walk(folder, onerror=lambda error: closed.append(Path(error.filename)), followlinks=True)
    for place, folders, files in walk:
        yield from _emptied(closed)
        folders[:] = sorted(name for name in folders if name[0] != "." and not _leads_back(Path(place, name), folder))
        for name in sorted(files):
            if name[0] != "." and os.path.splitext(name)[1].lower() in SUFFIXES:  # noqa: PTH122 - a Path costs 5 us
                yield Path(place, name)
    yield from _emptied(closed)


def _emptied(paths: list[Path]) -> Iterator[Path]:
    while paths:
        yield paths.pop(0)


def _leads_back(folder: Path, top: Path) -> bool:
    """Whether a folder below `top` is a link to one that it lies in: what is there is found there."""
    above = folder.parents[: len(folder.parts) - len(top.parts)]
    return folder.is_symlink() and os.path.realpath(folder) in map(os.path.realpath, above)
