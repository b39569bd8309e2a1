"""From names of image files to lines of answers, a batch at a time, in this process or in several."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

from lenet_edge.predicting.image_stream import AnyClassifier, classify_files
from lenet_edge.predicting.output_formats import FORMATS
from lenet_edge_runtime import Classifier, ImageError
from lenet_edge_runtime.errors import LenetEdgeError
from lenet_edge_runtime.fitting import FitPolicy, Invert

AHEAD = 4  # batches a process that are under way, so that none waits for the order to be kept
NONE = "none"  # the label of what is none of the classes


@dataclass(frozen=True)
class Asked:
    """How images are answered: all that another process has to know. `abstain`: NONE where `known` is False."""

    model: Path
    verify: bool
    format: str
    invert: Invert = "auto"
    fit: FitPolicy = "auto"
    coverage: float | None = None
    abstain: bool = False


@dataclass(frozen=True)
class Answered:
    """Of a batch: how many files, how many of them could not be read, and what there is to say, in their order.

    `said` holds lines of answers (True), several together, and complaints of files (False).
    """

    images: int
    failed: int
    said: tuple[tuple[bool, str], ...]


def answer(names: Sequence[str], asked: Asked, classifier: AnyClassifier) -> Answered:
    """Answer one batch of files by their names."""
    line, said, lines, failed = FORMATS[asked.format].line, list[tuple[bool, str]](), list[str](), 0
    answers = classify_files(map(Path, names), classifier, len(names), asked.invert, asked.fit, asked.coverage)
    for path, found in answers:
        if isinstance(found, ImageError):
            failed += 1
            said += [(True, "".join(lines)), (False, str(found))]
            lines.clear()
        else:
            lines.append(line(path, replace(found, label=NONE) if asked.abstain and not found.known else found))
    said.append((True, "".join(lines)))
    return Answered(len(names), failed, tuple(item for item in said if item[1]))


def answer_all(
    batches: Iterable[list[str]], asked: Asked, classifier: AnyClassifier, jobs: int
) -> Generator[Answered, None, None]:
    """What is answered of each batch, in their order; with more than one of `jobs` in so many other processes.

    Few batches are in memory at a time. Raises LenetEdgeError where the system ends one of the processes.
    """
    if jobs == 1:
        for names in batches:
            yield answer(names, asked, classifier)
        return
    # Not forked: onnxruntime has threads by now.
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _prepare, (asked,))
    waiting: deque[Future[Answered]] = deque()
    try:
        for names in batches:
            with _interrupts_held():
                waiting.append(pool.submit(_answer, names))
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


_asked: Asked | None = None  # in a process of the pool
_opened: Classifier | None = None


def _prepare(asked: Asked) -> None:
    """In a new process: Ctrl-C is its parent's business, and without a parent there is nothing to do."""
    global _asked
    _asked = asked
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _answer(names: list[str]) -> Answered:
    global _opened
    assert _asked is not None
    if _opened is None:
        _opened = Classifier(_asked.model, verify=_asked.verify)
    return answer(names, _asked, _opened)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Processes that are started in here never get Ctrl-C, not even while they import."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
