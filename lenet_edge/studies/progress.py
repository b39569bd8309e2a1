"""How the trainings of a study go, on stderr: bars on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from rich import progress
from rich.console import Console

from lenet_edge.studies.studies import Member
from lenet_edge.training.watcher import Progress

SECONDS_BETWEEN_LINES = 30.0


class StudyProgress:
    """A context manager; `todo` runs of `total` are not finished yet."""

    def __init__(self, todo: int, total: int) -> None:
        self._done, self._total, self._todo, self._ended = total - todo, total, todo, 0
        self._start = self._last_line = time.monotonic()
        self._bars = _bars() if sys.stderr.isatty() else None
        self._overall = self._bars.add_task("runs", total=total, completed=self._done, note="") if self._bars else None
        self._tasks: dict[Member, progress.TaskID] = {}
        self.errors: dict[Member, str] = {}  # why members failed

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def running(self, member: Member, now: Progress) -> None:
        """Move the member's bar; elsewhere, a line where there was none for a while."""
        note = f"epoch {now.epoch}/{now.epochs}" + (
            "" if now.val_accuracy is None else f", val {_pct(now.val_accuracy)}"
        )
        if self._bars:
            if member not in self._tasks:
                self._tasks[member] = self._bars.add_task(member.name, total=now.epochs * now.steps, note="")
            steps = (now.epoch - 1) * now.steps + now.step
            self._bars.update(self._tasks[member], completed=steps, note=note)
        elif time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._say(f"{member.name}: {note}")

    def ended(self, member: Member, error: str | None) -> None:
        """Count the run; say how it ended and how long the others may take."""
        self._todo, self._ended = self._todo - 1, self._ended + 1
        self._done += error is None
        if error is not None:
            self.errors[member] = error
        if self._bars and self._overall is not None:
            if member in self._tasks:
                self._bars.remove_task(self._tasks.pop(member))
            self._bars.update(self._overall, completed=self._done)
        self._say(f"{member.name}: {self._ending(member, error)}{self._left()}")

    def _ending(self, member: Member, error: str | None) -> str:
        if error is not None:
            return f"failed: {error}"
        metrics = member.run.read().metrics
        return (
            f"train {_pct(metrics['train_accuracy'])}, val {_pct(metrics['val_accuracy'])} "
            f"in {metrics['seconds']:.0f} s; {self._done} of {self._total} runs"
        )

    def _left(self) -> str:
        """How long the rest takes if runs go on ending at the pace seen so far."""
        if not self._todo:
            return ""
        seconds = (time.monotonic() - self._start) / self._ended * self._todo
        return f", about {seconds / 60:.0f} min left" if seconds > 90 else f", about {seconds:.0f} s left"

    def _say(self, line: str) -> None:
        self._last_line = time.monotonic()
        if self._bars:
            self._bars.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)  # noqa: T201


def _pct(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def _bars() -> progress.Progress:
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TextColumn("{task.fields[note]}"),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
    )
