"""Somebody who stops a training on the way."""

import signal

from lenet_edge.training.watcher import Progress, Watcher


class StopAfter(Watcher):
    """Asks to stop in the middle of the epoch after `epochs`."""

    def __init__(self, epochs: int) -> None:
        self.epochs, self.at = epochs, 0

    def progress(self, now: Progress) -> None:
        self.at = now.epoch

    def stop_signal(self) -> int | None:
        return signal.SIGTERM if self.at > self.epochs else None
