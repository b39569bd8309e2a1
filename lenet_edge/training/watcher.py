"""What training tells whoever watches it, and how it is asked to stop."""

from collections.abc import Sequence
from dataclasses import dataclass

from lenet_edge.runs.history import Epoch
from lenet_edge_runtime.errors import LenetEdgeError


class TrainingStopped(LenetEdgeError):  # noqa: N818 - not a fault
    """A signal asked training to stop; the last checkpoint is on disk. Exits with 128 + the signal's number."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


@dataclass(frozen=True)
class Progress:
    """Where training stands, for whoever shows it."""

    epoch: int
    epochs: int
    step: int  # of this epoch
    steps: int  # in an epoch
    loss: float
    images_per_second: float
    val_accuracy: float | None  # of the last finished epoch


class Watcher:
    """Told how training goes, and asked whether to stop; this one shows nothing and never stops."""

    def progress(self, now: Progress) -> None:
        """Called every few dozen steps."""

    def epoch_done(self, epoch: Epoch, epochs: int) -> None:
        """Called after each epoch, once its checkpoint is on disk."""

    def stop_signal(self) -> int | None:
        """The number of the signal that asked to stop, if any; asked before every batch."""
        return None


class Watchers(Watcher):
    """Several who watch one training; the first of them may stop it."""

    def __init__(self, first: Watcher, others: Sequence[Watcher]) -> None:
        self._first, self._all = first, (first, *others)

    def progress(self, now: Progress) -> None:
        for watcher in self._all:
            watcher.progress(now)

    def epoch_done(self, epoch: Epoch, epochs: int) -> None:
        for watcher in self._all:
            watcher.epoch_done(epoch, epochs)

    def stop_signal(self) -> int | None:
        return self._first.stop_signal()
