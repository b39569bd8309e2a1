"""An exported file on its own evidence: its seal, its known answers, its card. Needs no run and no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lenet_edge.data.datasets import load_dataset, load_for
from lenet_edge.data.image_data import ImageData
from lenet_edge.evaluation.statistics import unpaired_drop_upper
from lenet_edge_exporters import open_file
from lenet_edge_exporters.formats import format_of
from lenet_edge_runtime import Classifier, metadata
from lenet_edge_runtime.errors import DataError, ModelFileError
from lenet_edge_runtime.proof import BROKEN, Proof, is_broken
from lenet_edge_runtime.sessions import read_model
from lenet_edge_runtime.spec import ModelSpec


@dataclass(frozen=True)
class Evidence:
    """What a file proves here and now; `accuracy` is measured again where a data set was given, else None.

    `remark` says what the accuracy was held against, and why where it was not against the card's own test set.
    """

    path: str
    format: str
    passed: bool
    proof: Proof
    card: dict[str, Any] | None
    accuracy: float | None
    remark: str | None = None


def examine(path: Path, data: ImageData | None, max_drop_pp: float | None = None) -> Evidence:
    """Prove a file, and on `data` measure its accuracy again and compare it with the card's.

    A file whose seal is broken is not opened. On the card's own test set an integer file has to be right on exactly as
    many images, a float one within two. On other data the upper end of the 95 % interval of the drop below the card's
    accuracy may reach `max_drop_pp` percentage points (None: `default_other_drop`). Without a card nothing holds.
    """
    _check_evidence(path)
    if is_damaged(path):
        return Evidence(str(path), format_of(path).name, False, BROKEN, None, None)
    name, model = open_file(path)
    if not isinstance(model, Classifier):
        raise ModelFileError(f"{path} is a {name} file by what it says, and of none of those that prove themselves")
    found = model.prove()
    if data is None:
        return Evidence(str(path), name, found.passed, found, found.card, None)
    accuracy = _accuracy(model, data)
    holds, remark = _judge(accuracy, data, model, found, max_drop_pp)
    return Evidence(str(path), name, found.passed and holds, found, found.card, accuracy, remark)


def data_for(path: Path, dataset: str, data_dir: Path | None) -> ImageData:
    """A data set, the user's own images in the form that this file takes; a damaged file is not asked for its own."""
    _check_evidence(path)
    if is_damaged(path):
        return load_dataset(dataset, data_dir)
    return load_for(ModelSpec.from_metadata(open_file(path)[1].metadata), dataset, data_dir)


def is_damaged(path: Path) -> bool:
    """Whether a file was sealed and changed since; nothing of it is run."""
    return not path.is_dir() and is_broken(read_model(path))


def _check_evidence(path: Path) -> None:
    """Raise ModelFileError for a format without a seal: opening such a file alone, trusted or not, proves nothing."""
    if format_of(path).seal is None:
        raise ModelFileError(f"{path} is of a format that carries no evidence; name its run by --run")


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


def _judge(
    accuracy: float, data: ImageData, model: Classifier, found: Proof, max_drop_pp: float | None
) -> tuple[bool, str | None]:
    """Whether what was measured holds, and a remark where it was not measured on the card's own test set."""
    if found.card is None:
        return False, "the file has no card to compare with; name its run by --run"
    stated, images = float(found.card["accuracy"]), len(data.test_labels)
    if metadata.read(model.metadata, "data_md5s", metadata.anything, {}) == dict(data.md5s):
        allowed = 0 if found.tolerance == 0 else 2
        return abs(round((accuracy - stated) * images)) <= allowed, None
    of_card = int(found.card["images"])
    drop = 100 * unpaired_drop_upper(stated, of_card, accuracy, images)
    gate = default_other_drop(stated, of_card, images) if max_drop_pp is None else max_drop_pp
    return drop <= gate, (
        f"other data than the card's: not compared image by image; the accuracy may be up to {drop:.2f} pp below the "
        f"card's, {gate:g} pp are allowed (--max-drop)"
    )


def default_other_drop(accuracy: float, images_then: int, images_now: int) -> float:
    """How far below the card's accuracy that on another test set may be, in percentage points: 0.30.

    Small test sets cannot show so little: there half as much again as where the very same accuracy is measured.
    """
    same = 100 * unpaired_drop_upper(accuracy, images_then, accuracy, images_now)
    return max(0.30, round(1.5 * same, 2))
