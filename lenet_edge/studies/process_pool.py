"""The trainings of a study that are still to do: one after another in this process, or side by side in children."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from lenet_edge.data.image_data import ImageData
from lenet_edge.studies.progress import StudyProgress
from lenet_edge.studies.studies import Member, Study
from lenet_edge.training.console_watcher import SignalWatcher
from lenet_edge.training.distributed import PeerGoneError, Team, assembled
from lenet_edge.training.training import complete
from lenet_edge.training.watcher import Progress, TrainingStopped
from lenet_edge_runtime.errors import LenetEdgeError, TrainingError


def train_all(
    study: Study, members: Sequence[Member], data: ImageData, dataset: str, data_dir: Path | None, jobs: int
) -> None:
    """Train the members that are not finished, those of the first seeds first.

    Raises TrainingStopped on a signal, and LenetEdgeError where some fail, after the others have been trained.
    """
    todo = sorted((member for member in members if not member.finished), key=lambda member: member.seed)
    with StudyProgress(len(todo), len(members)) as display:
        try:
            if jobs == 1:
                with assembled() as team:
                    errors = run_here(todo, data, display, team)
            else:
                errors = ChildPool(dataset, data_dir, jobs, display).run(todo)
        except TrainingStopped as stopped:
            done = sum(member.run.read().status == "finished" for member in members)
            raise TrainingStopped(
                f"stopped; {done} of {len(members)} runs in {study.folder} are finished; the same command goes on",
                stopped.exit_code - 128,
            ) from None
    if errors:
        member, reason = next(iter(errors.items()))
        raise TrainingError(
            f"{len(errors)} of {len(members)} runs in {study.folder} failed, {member.name} because: {reason}; "
            f"the others are kept; the same command tries again"
        )


class _MemberWatcher(SignalWatcher):
    """Tells a display about the member that trains at the moment."""

    def __init__(self, display: StudyProgress, patient: bool) -> None:
        super().__init__(patient)
        self.display = display
        self.member: Member | None = None

    def progress(self, now: Progress) -> None:
        if self.member is not None:
            self.display.running(self.member, now)


def run_here(members: Sequence[Member], data: ImageData, display: StudyProgress, team: Team) -> dict[Member, str]:
    """Train the members one after another; return the errors of those that failed. Raises TrainingStopped."""
    errors: dict[Member, str] = {}
    with _MemberWatcher(display, patient=team.size > 1) as watcher:
        for member in members:
            watcher.member = member
            try:
                complete(member.run, data, watcher, resume=member.run.checkpoint_path.is_file(), team=team)
            except (TrainingStopped, PeerGoneError):
                raise
            except LenetEdgeError as error:
                errors[member] = str(error)
            except OSError as error:  # of the file system, as in a child: the next may still be kept
                errors[member] = repr(error) if error.strerror is None else str(error)
            display.ended(member, errors.get(member))
    return errors


class ChildPool:
    """At most `jobs` child processes, each with one training; signals to this process reach them once.

    A second signal kills them. They run in sessions of their own, so that a terminal's Ctrl-C comes through here only.
    """

    def __init__(self, dataset: str, data_dir: Path | None, jobs: int, display: StudyProgress) -> None:
        self._source = {"dataset": dataset, "data_dir": str(data_dir) if data_dir else None}
        self._jobs, self._display = jobs, display
        self._events: queue.SimpleQueue[tuple[Member | None, Progress | str | int | None]] = queue.SimpleQueue()
        self._waiting: queue.SimpleQueue[Member] = queue.SimpleQueue()
        self._children: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._signal: int | None = None

    def run(self, members: Sequence[Member]) -> dict[Member, str]:
        """Train the members; return the errors of those that failed. Raises TrainingStopped."""
        for member in members:
            self._waiting.put(member)
        workers = [threading.Thread(target=self._work) for _ in range(min(self._jobs, len(members)))]
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for worker in workers:
                worker.start()
            errors = self._follow(len(workers))
        finally:
            self._end_children(None)  # none is left but after an error in here
            for worker in workers:
                worker.join()
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._signal is not None:
            raise TrainingStopped("stopped", self._signal)
        return errors

    def _follow(self, workers: int) -> dict[Member, str]:
        errors: dict[Member, str] = {}
        while workers:
            member, event = self._events.get()
            if member is None and isinstance(event, int):
                self._stop(event)
            elif member is None:
                workers -= 1
            elif isinstance(event, Progress):
                self._display.running(member, event)
            elif self._signal is None:
                if isinstance(event, str):
                    errors[member] = event
                self._display.ended(member, errors.get(member))
        return errors

    def _work(self) -> None:
        """Train one member after another until none waits or a signal came; a thread for each child at a time."""
        while self._signal is None:
            try:
                member = self._waiting.get_nowait()
            except queue.Empty:
                break
            try:
                outcome = self._train(member)
            except Exception as error:  # a thread that died in silence would leave the study waiting for it
                outcome = repr(error)
            self._events.put((member, outcome))
        self._events.put((None, None))

    def _train(self, member: Member) -> str | None:
        job = json.dumps({"folder": str(member.run.folder), "parent": os.getpid(), **self._source})
        with tempfile.TemporaryFile("w+", encoding="utf-8") as stderr:
            with self._lock:
                if self._signal is not None:  # it came since this member was taken
                    return None
                child = _start(job, stderr)
                self._children.add(child)
            with child:
                assert child.stdout is not None
                for line in child.stdout:
                    self._events.put((member, Progress(**json.loads(line))))
            with self._lock:
                self._children.discard(child)
            return None if child.returncode == 0 else _reason(child.returncode, stderr)

    def _stop(self, number: int) -> None:
        with self._lock:
            first, self._signal = self._signal is None, number
        self._end_children(number if first else None)

    def _end_children(self, number: int | None) -> None:
        """By this signal, or at once (None; always on Windows, which has no signals: the last epoch is kept)."""
        with self._lock:
            for child in self._children:
                if number is None or os.name == "nt":
                    child.kill()
                else:
                    child.send_signal(number)  # does nothing to one that has ended

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._events.put((None, number))


def _start(job: str, stderr: IO[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "lenet_edge.studies.child_process", job],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        start_new_session=True,
    )


def _reason(returncode: int, stderr: IO[str]) -> str:
    """Why a child failed: the last line that it wrote, or the signal that killed it."""
    stderr.seek(0)
    lines = [line for line in stderr.read().splitlines() if line.strip()]
    if lines and returncode > 0:
        return lines[-1].strip()
    return f"its process was killed by signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
