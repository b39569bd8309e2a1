"""Trainings side by side in processes of this machine: an executor of one process each.

One process each, so that one that dies (killed, out of memory) takes no other training with it. All of them wait on a
pipe, the lifeline: when this process closes it, they stop at their next batch; when this process is gone, they end.
"""

import functools
import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from pathlib import Path

from lenet_edge.data.datasets import load_dataset
from lenet_edge.runs.run import Run
from lenet_edge.studies.member_training import Source, train_member
from lenet_edge.studies.progress import StudyProgress
from lenet_edge.studies.studies import Member
from lenet_edge.training.console_watcher import SignalWatcher
from lenet_edge.training.watcher import Progress, TrainingStopped, Watcher
from lenet_edge_runtime.processes import end_with_parent, held

LOOK_SECONDS = 0.1  # between looks at the progress of the children


def side_by_side(members: Sequence[Member], source: Source, display: StudyProgress, *, jobs: int) -> None:
    """Train the members in at most so many processes at a time. Raises TrainingStopped; a second signal kills them."""
    with SignalWatcher() as signals:
        pool = _Pool(source, display)
        try:
            pool.train(members, jobs, signals)
        finally:
            pool.end()


class _Pool:
    """The processes, and the pipes to them."""

    def __init__(self, source: Source, display: StudyProgress) -> None:
        self._source, self._display = (source.dataset, source.data_dir), display
        self._context = multiprocessing.get_context("spawn")
        self._updates, self._sender = self._context.Pipe(duplex=False)
        self._lifeline, self._holder = self._context.Pipe(duplex=False)
        self._executors: list[ProcessPoolExecutor] = []

    def train(self, members: Sequence[Member], jobs: int, signals: SignalWatcher) -> None:
        """Train the members and tell the display."""
        waiting = deque(enumerate(members))
        idle = [self._executor() for _ in range(min(jobs, len(members)))]
        busy: dict[Future[str | None], tuple[Member, ProcessPoolExecutor]] = {}
        while waiting or busy:
            while waiting and idle:
                number, member = waiting.popleft()
                with held({signal.SIGINT, signal.SIGTERM}):  # which a terminal, or `timeout`, sends to all
                    future = idle[-1].submit(_train_here, number, member.run.folder, *self._source)
                busy[future] = member, idle.pop()
            done, _ = wait(busy, LOOK_SECONDS, FIRST_COMPLETED)
            if (caught := signals.stop_signal()) is not None:
                raise TrainingStopped("stopped", caught)
            while self._updates.poll():
                number, now = self._updates.recv()
                self._display.running(members[number], now)
            for future in done:
                member, executor = busy.pop(future)
                reason = _reason(future)
                idle.append(self._executor() if isinstance(future.exception(), BrokenProcessPool) else executor)
                self._display.ended(member, reason)

    def _executor(self) -> ProcessPoolExecutor:
        executor = ProcessPoolExecutor(1, self._context, _begin, (self._sender, self._lifeline))
        self._executors.append(executor)
        return executor

    def end(self) -> None:
        """Stop what still trains; raise KeyboardInterrupt where a signal comes before that has stopped.

        Waits for the processes and not for the executors' threads: until Python 3.13, a `Thread.join` that a signal
        interrupts takes the thread for ended, and Python then ends while that thread is giving back semaphores.
        """
        self._holder.close()
        for executor in self._executors:
            executor.shutdown(wait=False, cancel_futures=True)
        try:
            while children := multiprocessing.active_children():
                connection.wait([child.sentinel for child in children])
        except KeyboardInterrupt:
            for child in multiprocessing.active_children():
                child.kill()
            raise


def _reason(future: Future[str | None]) -> str | None:
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        return "its process ended before it: it was killed, or could not start"
    return future.result() if error is None else repr(error)


class _ChildWatcher(Watcher):
    """Tells the parent by the pipe that all children share: a message is one write, too short to be torn."""

    def __init__(self, sender: "connection.Connection[tuple[int, Progress], None]") -> None:
        self._sender = sender
        self._signal: int | None = None
        self.number = 0  # of the member in training

    def progress(self, now: Progress) -> None:
        self._sender.send((self.number, now))

    def stop_signal(self) -> int | None:
        return self._signal

    def attend(self, lifeline: "connection.Connection[None, None]") -> None:
        """Wait until the parent closes the lifeline."""
        connection.wait([lifeline])
        self._signal = signal.SIGTERM


def _begin(
    sender: "connection.Connection[tuple[int, Progress], None]", lifeline: "connection.Connection[None, None]"
) -> None:
    global _watcher
    end_with_parent()
    _watcher = _ChildWatcher(sender)
    threading.Thread(target=_watcher.attend, args=(lifeline,), daemon=True).start()


_watcher: _ChildWatcher
_load = functools.cache(load_dataset)


def _train_here(number: int, folder: Path, dataset: str, data_dir: Path | None) -> str | None:
    _watcher.number = number
    try:
        return train_member(Run(folder), lambda: _load(dataset, data_dir), _watcher)
    except TrainingStopped:
        return "stopped"
