"""Trainings as tasks of a running Dask cluster.

A task trains one member for some seconds, at least to the end of an epoch, and its result is the run's folder: so every
checkpoint comes back through the scheduler, no file system is shared, and a task whose worker died runs again elsewhere
from the checkpoint before it. The client writes the folder and gives out the next task. Images are sent only where a
worker has not found them itself; they are a task of their own then, which Dask gives to each worker once.
"""

import pickle
import queue
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from lenet_edge.cluster import connection
from lenet_edge.runs.record import Device
from lenet_edge.studies.cluster_task import PACKAGES, Answer, Task, advance, device_here, files_of, keep
from lenet_edge.studies.member_training import Source
from lenet_edge.studies.progress import StudyProgress
from lenet_edge.studies.studies import Member
from lenet_edge.training.console_watcher import SignalWatcher
from lenet_edge.training.watcher import Progress, TrainingStopped
from lenet_edge_runtime.errors import ClusterError, LenetEdgeError
from lenet_edge_runtime.host import installed_versions

if TYPE_CHECKING:
    from distributed import Client, Future

TASK_SECONDS = 5.0  # shorter tasks lose less with a worker; setting one up takes a few tenths of a second
LOOK_SECONDS = 0.2  # between looks at signals


@contextmanager
def connected(address: str) -> Iterator["Cluster"]:
    """The cluster whose scheduler has this address; raises what `connection.connected` raises."""
    with connection.connected(address, PACKAGES) as client:
        yield Cluster(client)


class Cluster:
    """Connected to its scheduler."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def device(self, name: str) -> Device:
        """The type of the device that this name means on a worker; raises TrainingError where it has none such."""
        return cast(Device, self._client.submit(device_here, name, pure=False).result())

    def train(self, members: Sequence[Member], source: Source, display: StudyProgress) -> None:
        """Train the members. Raises TrainingStopped, and ClusterError where the scheduler is gone."""
        with SignalWatcher() as signals:
            tasks = _Tasks(self._client, members, source, display)
            try:
                tasks.follow(signals)
            finally:
                tasks.cancel()


class _Tasks:
    """The one task of each member that is not finished."""

    def __init__(self, client: "Client", members: Sequence[Member], source: Source, display: StudyProgress) -> None:
        self._client, self._members, self._source, self._display = client, members, source, display
        self._topic = f"lenet-edge-{uuid.uuid4().hex}"
        self._versions = installed_versions(PACKAGES)
        self._futures: dict[int, Future] = {}  # by the member's number
        self._sent: Future | None = None  # the images, once a worker lacked them
        self._events: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()  # Progress, or a future that is done

    def follow(self, signals: SignalWatcher) -> None:
        """Give out tasks and take their answers until no member has one."""
        self._client.subscribe_topic(self._topic, self._note)
        for number in range(len(self._members)):
            self._submit(number)
        while self._futures:
            if (caught := signals.stop_signal()) is not None:
                raise TrainingStopped("stopped", caught)
            try:
                number, event = self._events.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            if isinstance(event, Progress):
                if number in self._futures:  # news of a task may come after its end
                    self._display.running(self._members[number], event)
            elif self._futures.get(number) is event:
                self._take(number, event)

    def cancel(self) -> None:
        """Tell the workers that nobody waits any more."""
        if self._futures and self._client.status == "running":
            self._client.cancel(list(self._futures.values()), force=True)

    def _submit(self, number: int) -> None:
        run = self._members[number].run
        task = Task(
            number=number,
            files=files_of(run),
            dataset=run.dataset_argument(run.read()),
            data_dir=self._source.data_dir and self._source.data_dir.absolute(),
            md5s=dict(self._source.data.md5s),
            versions=self._versions,
            seconds=TASK_SECONDS,
            topic=self._topic,
        )
        future = self._client.submit(
            advance,
            task,
            self._sent,
            key=f"{self._topic}-{number}-{uuid.uuid4().hex}",
            priority=-number,  # the first members are finished before the last ones begin
        )
        self._futures[number] = future
        future.add_done_callback(lambda done: self._events.put((number, done)))

    def _take(self, number: int, future: "Future") -> None:
        if future.cancelled():
            self._resume(number, future)
        elif future.status == "error":
            error = future.exception()
            self._end(number, f"{type(error).__name__}: {' '.join(str(error).split())}")
        else:
            try:
                answer: Answer = future.result(timeout=LOOK_SECONDS)
            except TimeoutError:  # the worker that has it is slow or gone; Dask has it computed again then
                self._events.put((number, future))
                return
            self._go_on(number, answer)

    def _go_on(self, number: int, answer: Answer) -> None:
        """Keep what came back, and give out the member's next task where it is not finished."""
        if answer.refusal is not None:
            raise ClusterError(answer.refusal)
        run = self._members[number].run
        if answer.lacks_data:
            self._send_data()
        else:
            try:
                keep(run, answer.files)
            except (LenetEdgeError, OSError) as error:
                self._end(number, str(error))
                return
            if answer.error is not None or run.read().status == "finished":
                self._end(number, answer.error)
                return
        self._submit(number)

    def _end(self, number: int, reason: str | None) -> None:
        del self._futures[number]
        self._display.ended(self._members[number], reason)

    def _send_data(self) -> None:
        """As a task whose result is the images: Dask gives it to each worker that needs it, and makes it anew."""
        if self._sent is None or self._sent.cancelled():
            self._sent = self._client.submit(pickle.loads, pickle.dumps(self._source.data), key=f"{self._topic}-images")

    def _resume(self, number: int, future: "Future") -> None:
        """After the connection to the scheduler was lost: with the new one, as soon as Dask has found it."""
        if self._client.status == "connecting":
            self._events.put((number, future))
            time.sleep(LOOK_SECONDS)
            return
        if self._client.status != "running":
            raise ClusterError("the Dask scheduler is gone; what came back is kept; the same command goes on")
        self._client.subscribe_topic(self._topic, self._note)
        if self._sent is not None:
            self._send_data()
        self._submit(number)

    def _note(self, event: tuple[float, dict[str, Any]]) -> None:
        _, message = event
        self._events.put((message["number"], Progress(**message["now"])))
