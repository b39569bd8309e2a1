"""What a worker of a Dask cluster does: answer some batches of images, which it reads by the paths that they have here.

The model comes as bytes, with each task's first image as its SHA-256, so that neither is another one on the worker.
The scheduler imports this module too, to read what it passes on.
"""

import hashlib
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import monotonic

from lenet_edge.cluster.connection import mismatch
from lenet_edge.predicting.answering import Answered, Asked, answer
from lenet_edge_runtime import Classifier, LenetEdgeError
from lenet_edge_runtime.host import installed_versions
from lenet_edge_runtime.reading import IMAGE_BYTES, read_bytes


@dataclass(frozen=True)
class Task:
    """Some batches of images, by name; names that are relative begin in `folder`."""

    asked: Asked
    folder: Path
    batches: tuple[list[str], ...]
    first_sha256: str | None  # of the first image, where the client can read it
    versions: dict[str, str]  # the client's


@dataclass(frozen=True)
class Answer:
    """What is answered of each batch, and who says so."""

    worker: str
    batches: tuple[Answered, ...] = ()
    seconds: float = 0.0  # that it took
    refusal: str | None = None  # why this worker must not answer


def answer_batches(task: Task, model: bytes) -> Answer:
    """Answer the batches of a task, or say why not."""
    from distributed import get_worker

    worker = f"worker {get_worker().address}"
    first = task.folder / task.batches[0][0]
    try:
        if refusal := mismatch(worker, _versions(tuple(task.versions)), task.versions):
            return Answer(worker, refusal=refusal)
        if (found := image_sha256(first)) and task.first_sha256 and found != task.first_sha256:
            return Answer(worker, refusal=f"{worker} has another image at {first} than this machine")
        classifier = _opened(model, task.asked.model.name, task.asked.verify)
        start = monotonic()
        answered = tuple(answer(names, task.asked, classifier, task.folder) for names in task.batches)
        return Answer(worker, answered, monotonic() - start)
    except LenetEdgeError as error:
        return Answer(worker, refusal=f"{worker}: {error}")


def image_sha256(path: Path) -> str | None:
    """The SHA-256 of a file; None where it cannot be read, which whoever classifies it complains of."""
    try:
        return hashlib.sha256(read_bytes(path, IMAGE_BYTES)).hexdigest()
    except (OSError, ValueError):
        return None


_versions = lru_cache(installed_versions)


@lru_cache(maxsize=2)
def _opened(model: bytes, name: str, verify: bool) -> Classifier:
    """The classifier of these bytes, opened and proved once in this process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(model)
        return Classifier(path, verify=verify)
