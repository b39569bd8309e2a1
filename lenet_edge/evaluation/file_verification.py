"""An exported file on its own evidence: its seal, its known answers, its card. Needs no run and no torch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lenet_edge.data.image_data import ImageData
from lenet_edge_exporters import open_file
from lenet_edge_exporters.formats import format_of
from lenet_edge_runtime import Classifier
from lenet_edge_runtime.errors import DataError, ModelFileError
from lenet_edge_runtime.proof import BROKEN, Proof, is_broken
from lenet_edge_runtime.sessions import read_model
from lenet_edge_runtime.spec import PREFIX, ModelSpec


@dataclass(frozen=True)
class Evidence:
    """What a file proves here and now; `accuracy` is measured again where a data set was given, else None."""

    path: str
    format: str
    passed: bool
    proof: Proof
    card: dict[str, Any] | None
    accuracy: float | None


def examine(path: Path, data: ImageData | None) -> Evidence:
    """Prove a file, and on `data` measure its accuracy again and compare it with the card's.

    A file whose seal is broken is not opened. On the card's own test set an integer file has to be right on exactly as
    many images, a float one within two.
    """
    if is_damaged(path):
        return Evidence(str(path), format_of(path).name, False, BROKEN, None, None)
    name, model = open_file(path)
    if not isinstance(model, Classifier):
        raise ModelFileError(f"{path} cannot carry evidence of its own; name its run by --run")
    found = model.prove()
    accuracy = None if data is None else _accuracy(model, data)
    holds = accuracy is None or data is None or _is_cards(accuracy, data, model, found)
    return Evidence(str(path), name, found.passed and holds, found, found.card, accuracy)


def is_damaged(path: Path) -> bool:
    """Whether a file was sealed and changed since; nothing of it is run."""
    return not path.is_dir() and is_broken(read_model(path))


def check_data(data: ImageData, spec: ModelSpec) -> None:
    """Raise DataError for images of another size than the model's, or of other classes."""
    if data.test_pixels.shape[1:] != spec.pixel_shape or data.labels != spec.labels:
        raise DataError(
            f"{data.name} has images {data.test_pixels.shape[1:]} of {', '.join(data.labels)}, the model takes "
            f"{spec.pixel_shape} of {', '.join(spec.labels)}; choose another --dataset"
        )


def _accuracy(model: Classifier, data: ImageData) -> float:
    check_data(data, model.spec)
    return int((model.logits(data.test_pixels).argmax(1) == data.test_labels).sum()) / len(data.test_labels)


def _is_cards(accuracy: float, data: ImageData, model: Classifier, found: Proof) -> bool:
    """Whether the accuracy is that of the card; True on other data, of which the card says nothing."""
    if found.card is None or json.loads(model.metadata[PREFIX + "data_md5s"]) != dict(data.md5s):
        return True
    allowed = 0 if found.tolerance == 0 else 2
    stated = float(found.card["accuracy"])
    return abs(round((accuracy - stated) * len(data.test_labels))) <= allowed
