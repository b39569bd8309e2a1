"""Training as a person watches it, and the signals by which they end it."""

import signal
import sys
from types import FrameType, TracebackType
from typing import Self

from rich import progress
from rich.console import Console

from lenet_edge.runs.history import Epoch
from lenet_edge.training.watcher import Progress, Watcher


class SignalWatcher(Watcher):
    """Shows nothing; Ctrl-C and SIGTERM stop training at the next batch.

    A context manager: outside of it, signals do what they did before. A second Ctrl-C ends the process at once, but not
    a `patient` one: torchrun passes on the Ctrl-C that the terminal has sent to all already.
    """

    def __init__(self, patient: bool = False) -> None:
        self._patient = patient
        self._signal: int | None = None

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def stop_signal(self) -> int | None:
        return self._signal

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self._signal is not None and not self._patient:
            signal.signal(number, self._before[signal.Signals(number)])
            raise KeyboardInterrupt
        self._signal = number


class ConsoleWatcher(SignalWatcher):
    """Shows a progress bar on a terminal, one line an epoch elsewhere, all on stderr."""

    def __init__(self, patient: bool = False) -> None:
        super().__init__(patient)
        self._bar = None if not sys.stderr.isatty() else _progress_bar()
        self._task = self._bar.add_task("", total=None, loss="", val="", speed="") if self._bar else None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        super().__exit__(kind, error, traceback)

    def progress(self, now: Progress) -> None:
        if self._bar and self._task is not None:
            self._bar.update(
                self._task,
                description=f"epoch {now.epoch}/{now.epochs}",
                completed=(now.epoch - 1) * now.steps + now.step,
                total=now.epochs * now.steps,
                loss=f"{now.loss:.4f}",
                val="-" if now.val_accuracy is None else f"{100 * now.val_accuracy:.2f} %",
                speed=f"{now.images_per_second:,.0f}",
            )

    def epoch_done(self, epoch: Epoch, epochs: int) -> None:
        # A set of a few hundred images has hundreds of epochs: about thirty lines tell enough.
        if self._bar or (epoch.epoch % max(1, epochs // 30) and epoch.epoch != epochs):
            return
        left = epoch.seconds * (epochs - epoch.epoch)
        print(  # noqa: T201
            f"epoch {epoch.epoch}/{epochs}  loss {epoch.train_loss:.4f}  val {100 * epoch.val_accuracy:.2f} %  "
            f"{epoch.images_per_second:,.0f} images/s  {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )


def _progress_bar() -> progress.Progress:
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TextColumn("loss {task.fields[loss]}"),
        progress.TextColumn("val {task.fields[val]}"),
        progress.TextColumn("{task.fields[speed]} images/s"),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
    )
