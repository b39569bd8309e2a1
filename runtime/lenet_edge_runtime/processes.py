"""Work on many small things in several processes, its results in order: by concurrent.futures, with few under way."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from lenet_edge_runtime.errors import LenetEdgeError

AHEAD = 4  # pieces a process that are under way, so that none waits for the order to be kept

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def in_order(work: Callable[[Piece], Result], pieces: Iterable[Piece], jobs: int) -> Generator[Result, None, None]:
    """`work` of each piece, in their order, done by `jobs` processes; all that goes there and back is pickled.

    The processes end with this one, however that ends, and leave Ctrl-C to it; closing the generator ends them, too.
    Raises LenetEdgeError where the system ends one of them.
    """
    # Not forked: onnxruntime has threads by now.
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), end_with_parent)
    waiting: deque[Future[Result]] = deque()
    try:
        for piece in pieces:
            with held({signal.SIGINT}):
                waiting.append(pool.submit(work, piece))
            if len(waiting) == AHEAD * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise LenetEdgeError(
            f"one of {jobs} processes was ended from outside, perhaps for want of memory: try fewer --jobs"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def end_with_parent() -> None:
    """In a new process: Ctrl-C is its parent's business, and without a parent there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextlib.contextmanager
def held(signals: set[signal.Signals]) -> Iterator[None]:
    """Processes that are started in here never get these signals, which are sent to all, not even while they import."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows, where `end_with_parent` sees to Ctrl-C
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
