"""What a worker of a Dask cluster does: train a member for a while in a folder of its own, and give its files back.

The scheduler imports this module too, to read what it passes on; torch is imported by workers alone.
"""

import functools
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from lenet_edge.cluster.connection import mismatch
from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.record import Device
from lenet_edge.runs.run import Run
from lenet_edge.training.watcher import Progress, Watcher
from lenet_edge_exporters import atomic, manifest
from lenet_edge_runtime.host import installed_versions
from lenet_edge_runtime.reading import read_bytes

PACKAGES = ("lenet-edge", "torch")  # whose versions have to be the client's
PROGRESS_SECONDS = 0.5  # between messages, all of which pass through the scheduler
# Of a run's folder, in the order of writing: a kill in between leaves what `train` goes on from.
FILES = ("history.csv", "checkpoint.safetensors", "weights.safetensors", "curves.png", manifest.NAME, "run.json")

_one_at_a_time = threading.Lock()  # torch's random numbers and its number of threads are the process's


@dataclass(frozen=True)
class Task:
    """A member's training from where it stands."""

    number: int  # of the member in its study
    files: dict[str, bytes]  # of its folder
    dataset: str  # what `find_dataset` takes on the worker
    data_dir: Path | None
    md5s: dict[str, str]
    versions: dict[str, str]  # the client's
    seconds: float  # after which the epoch at hand is the last of this task
    topic: str  # of messages on progress


@dataclass(frozen=True)
class Answer:
    """Where the training stands then."""

    files: dict[str, bytes]
    error: str | None = None  # why it failed
    lacks_data: bool = False  # the images are to be sent along
    refusal: str | None = None  # why this worker must not train


def advance(task: Task, sent: ImageData | None = None) -> Answer:
    """Train some epochs of a member, or none where the task is not wanted any more."""
    from distributed import get_worker

    from lenet_edge.studies.member_training import train_member
    from lenet_edge.training.training import resolve_device
    from lenet_edge.training.watcher import TrainingStopped

    worker: Any = get_worker()
    if (refusal := mismatch(worker.address, installed_versions(PACKAGES), task.versions)) is not None:
        return Answer(task.files, refusal=refusal)
    watcher = _TaskWatcher(task, worker)
    with _one_at_a_time, _folder(task.files, worker.local_directory) as run:
        data = sent or _found(task.dataset, task.data_dir, tuple(task.md5s.items()))
        if data is None:
            return Answer(task.files, lacks_data=True)

        def load() -> ImageData:
            resolve_device(run.read().device)
            return data

        try:
            error = train_member(run, load, watcher)
        except TrainingStopped:
            error = None
        return Answer(files_of(run), error)


def device_here(name: str) -> Device:
    """The type of the device that a name means on this worker."""
    from lenet_edge.training.training import resolve_device

    return cast(Device, resolve_device(name).type)


def files_of(run: Run) -> dict[str, bytes]:
    """What has to travel of a run's folder."""
    return {name: read_bytes(run.folder / name) for name in FILES if (run.folder / name).is_file()}


def keep(run: Run, files: dict[str, bytes]) -> None:
    """Make the run's folder hold these files, under its lock; a checkpoint that is not among them goes last."""
    with run.locked():
        for name in FILES:
            if name in files:
                atomic.write_bytes(run.folder / name, files[name])
        if run.checkpoint_path.name not in files:
            run.checkpoint_path.unlink(missing_ok=True)


@contextmanager
def _folder(files: dict[str, bytes], parent: str) -> Iterator[Run]:
    with tempfile.TemporaryDirectory(dir=parent, prefix="lenet-edge-") as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        yield Run(Path(folder))


@functools.lru_cache(maxsize=1)
def _found(dataset: str, data_dir: Path | None, md5s: tuple[tuple[str, str], ...]) -> ImageData | None:
    from lenet_edge.data.datasets import find_dataset

    return find_dataset(dataset, data_dir, dict(md5s))


class _TaskWatcher(Watcher):
    """Ends the training at an epoch's end when its time is over, and at once when nobody waits for it any more."""

    def __init__(self, task: Task, worker: Any) -> None:
        self._task, self._worker, self._key = task, worker, worker.get_current_task()
        self._start = self._told = time.monotonic()
        self._is_over = False

    def progress(self, now: Progress) -> None:
        if time.monotonic() - self._told >= PROGRESS_SECONDS:
            self._told = time.monotonic()
            self._worker.log_event(self._task.topic, {"number": self._task.number, "now": asdict(now)})

    def epoch_done(self, *_: object) -> None:
        self._is_over = time.monotonic() - self._start >= self._task.seconds

    def stop_signal(self) -> int | None:
        state = self._worker.state.tasks.get(self._key)  # "cancelled" once the client has, or is gone
        wanted = state is not None and state.state == "executing" and self._worker.status.name in ("running", "paused")
        return signal.SIGTERM if self._is_over or not wanted else None
