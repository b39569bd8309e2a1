"""Answers by the workers of a running Dask cluster, in the order of the images; see `cluster_task.py` for their part.

Names go there and lines of answers come back, few tasks at a time. A task whose worker died runs again elsewhere: that
is Dask's. What a worker cannot read is read here once more: where that works, the worker's file system is to blame.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, cast

from lenet_edge import console
from lenet_edge.cluster.connection import connected
from lenet_edge.predicting.answering import Answered, Asked, Way, lines_of
from lenet_edge.predicting.cluster_task import Answer, Task, answer_batches, image_sha256
from lenet_edge.predicting.image_stream import AnyClassifier
from lenet_edge_runtime.errors import ClusterError, ImageError
from lenet_edge_runtime.host import installed_versions
from lenet_edge_runtime.sessions import read_model

if TYPE_CHECKING:
    from distributed import Client, Future

PACKAGES = ("lenet-edge", "numpy", "onnxruntime", "pillow")  # whose versions have to be the client's: they decide bits
LITERT = "ai-edge-litert"  # and this one's for a .tflite file
TASK_SECONDS = 0.5  # setting a task up takes some milliseconds; of large photos a batch takes longer by itself
BATCHES = 8  # a task at most
AHEAD = 4  # tasks under way for each thread of the workers, so that none waits for the order to be kept
LOOK_SECONDS = 5.0  # between looks at how many threads there are


@contextmanager
def on_cluster(address: str, asked: Asked, classifier: AnyClassifier) -> Iterator[Way]:
    """What has batches answered by the workers of the scheduler at this address; raises what `connected` raises."""
    packages = (*PACKAGES, LITERT) if asked.model.suffix == ".tflite" else PACKAGES
    with connected(address, packages) as client:
        yield _Answers(client, address, asked, classifier, installed_versions(packages)).all


class _Answers:
    def __init__(
        self, client: "Client", address: str, asked: Asked, classifier: AnyClassifier, versions: dict[str, str]
    ) -> None:
        self._client, self._address, self._asked, self._classifier = client, address, asked, classifier
        self._versions, self._folder = versions, Path.cwd()
        # A task whose result is the model: Dask gives it to each worker once, and makes it anew where one died.
        self._model = client.submit(bytes, read_model(asked.model), pure=False)
        self._batches = 1  # a task, as the last answers suggest
        self._looked, self._known = -LOOK_SECONDS, 0

    def all(self, batches: Iterable[list[str]]) -> Generator[Answered, None, None]:
        """What is answered of each batch, in their order.

        Raises ClusterError where the scheduler is gone, or a worker has other versions or does not see the images.
        """
        waiting: deque[Future] = deque()
        remaining = iter(batches)
        try:
            while chunk := tuple(islice(remaining, self._batches)):
                waiting.append(self._submit(chunk))
                while len(waiting) >= AHEAD * max(1, self._threads()):
                    yield from self._result(waiting.popleft())
            while waiting:
                yield from self._result(waiting.popleft())
        finally:
            if waiting and self._client.status == "running":
                self._client.cancel(list(waiting), force=True)

    def _submit(self, batches: tuple[list[str], ...]) -> "Future":
        first = image_sha256(self._folder / batches[0][0])
        task = Task(self._asked, self._folder, batches, first, self._versions)
        return self._client.submit(answer_batches, task, self._model, pure=False)

    def _threads(self) -> int:
        """Of all workers, as of a moment ago; says so where there is none."""
        if monotonic() - self._looked >= LOOK_SECONDS:
            try:
                found = sum(self._client.nthreads().values())
            except (OSError, CancelledError):
                return self._known  # the scheduler is gone, perhaps for a moment; see `_result`
            if found == 0 and self._known > 0:
                console.say(f"no worker is left at {self._address}; waiting for one: dask worker {self._address}")
            self._looked, self._known = monotonic(), found
        return self._known

    def _result(self, future: "Future") -> Iterator[Answered]:
        answer = self._answer(future)
        if answer.refusal is not None:
            raise ClusterError(answer.refusal)
        if answer.seconds < TASK_SECONDS / 2:
            self._batches = min(BATCHES, 2 * self._batches)
        elif answer.seconds > 2 * TASK_SECONDS:
            self._batches = max(1, self._batches // 2)
        for found in answer.batches:
            yield self._confirmed(found, answer.worker) if found.unread else found

    def _answer(self, future: "Future") -> Answer:
        while True:
            try:
                return cast(Answer, future.result(timeout=LOOK_SECONDS))
            except TimeoutError as error:
                if future.status == "error":  # the task's own
                    raise _failure(error) from None
                self._threads()
            except CancelledError:
                raise ClusterError(
                    f"the Dask scheduler at {self._address} is gone; start it and its workers again, and call this "
                    f"again (with --shard before, --resume goes on after the last whole file)"
                ) from None
            except Exception as error:  # whatever a task may raise, and Dask's own
                raise _failure(error) from None

    def _confirmed(self, found: Answered, worker: str) -> Answered:
        """With this machine's own complaints of what a worker could not read."""
        said = [text for is_answer, text in found.said if not is_answer]
        ours = iter([self._complaint(name, worker, text) for name, text in zip(found.unread, said, strict=True)])
        return replace(found, said=tuple(item if item[0] else (False, next(ours)) for item in found.said))

    def _complaint(self, name: str, worker: str, said: str) -> str:
        (here,) = lines_of([name], self._asked, self._classifier)
        if isinstance(here, ImageError):
            return str(here)
        raise ClusterError(
            f"{worker} cannot read {name}, which this machine can ({said}): let all workers see the images at the same "
            f"path ({self._folder / name}), as on a shared file system, or leave out --scheduler"
        )


def _failure(error: Exception) -> ClusterError:
    said = " ".join(str(error).split())[:300]
    return ClusterError(f"a task ended in {type(error).__name__} on the workers: {said}")
