"""A run as MLflow keeps it: parameters, the figures of every epoch, the run's files and its exports.

Told by MLflow's client, which adds neither the user's name nor a path, as its `start_run` does. `mlflow.json` in the
run's folder holds the id that MLflow gave it, by which a resumed training and an export go on with the same one.
"""

import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Literal

from lenet_edge import console
from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.finding import PRETRAINED_RUNS
from lenet_edge.runs.history import Epoch, read_history
from lenet_edge.runs.record import RunRecord
from lenet_edge.runs.run import Run
from lenet_edge.tracking.tracker import Tracker, figures_of, parameters_of
from lenet_edge.training.watcher import TrainingStopped
from lenet_edge_exporters import atomic
from lenet_edge_runtime.errors import LenetEdgeError, MissingExtraError, TrackingError
from lenet_edge_runtime.reading import read_text
from lenet_edge_runtime.records import FileName, from_fields, parse

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "lenet-edge"  # where MLFLOW_EXPERIMENT_NAME names no other
NAME = "mlflow.json"
REMOTE = ("http://", "https://", "databricks")  # what the small client, mlflow-skinny, can speak to
# MLflow's own: without them it asks a server that is gone for minutes, tells its makers that it is used, and prints.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True)
class Link:
    """What `mlflow.json` holds."""

    schema: Literal["lenet-edge mlflow 1"]
    run_id: Annotated[str, FileName()]


def check(uri: str) -> None:
    """Raise TrackingError where no MLflow answers at this address, MissingExtraError where the client cannot ask it."""
    if not uri.startswith(REMOTE) and find_spec("sqlalchemy") is None:
        raise MissingExtraError(
            f"--mlflow {_shown(uri)} is no server, and needs the whole of MLflow: type pip install mlflow, or give a "
            f"server's address such as http://HOST:5000"
        )
    with _explained(uri):
        _client(uri).search_experiments(max_results=1)


class Mlflow(Tracker):
    """What MLflow at `uri` is told; what it does not take is told of, and sent again with the next epoch."""

    def __init__(self, run: Run, uri: str) -> None:
        super().__init__(run)
        self._uri, self._id = uri, ""
        self._sent: set[int] = set()  # epochs

    def epoch_done(self, epoch: Epoch, _epochs: int) -> None:
        """Send all epochs that MLflow has not yet; no server that is gone ends a training."""
        try:
            with _explained(self._uri):
                self._send_epochs(self._begun())
        except TrackingError as error:
            console.say(f"epoch {epoch.epoch} is not in MLflow yet: {error}")

    def finish(self, record: RunRecord, _data: ImageData | None = None) -> None:
        """Send the run's figures and files; raises TrackingError where they are not taken."""
        with _explained(self._uri, f"{self.run.folder} is whole; 'export --mlflow' sends all of it later"):
            client = self._begun()
            self._send_epochs(client)
            if not set(record.metrics) <= set(client.get_run(self._id).data.metrics):
                _log_metrics(client, self._id, record.metrics, len(self._sent))
                for path in (self.run.record_path, self.run.weights_path, self.run.history_path, self.run.curves_path):
                    if path.is_file():
                        client.log_artifact(self._id, str(path), "run")

    def send(self, record: RunRecord, paths: Iterable[Path]) -> None:
        """Send exported files and folders, and before them what MLflow has not of the run."""
        with self:
            self.finish(record)
            with _explained(self._uri):
                for path in paths:
                    logged = _client(self._uri).log_artifacts if path.is_dir() else _client(self._uri).log_artifact
                    logged(self._id, str(path), f"export/{path.name}" if path.is_dir() else "export")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._id:
            return
        status = "FINISHED" if kind is None else "KILLED" if issubclass(kind, TrainingStopped) else "FAILED"
        try:
            with _explained(self._uri):
                _client(self._uri).set_terminated(self._id, status)
        except TrackingError as failed:
            console.say(str(failed))

    def _begun(self) -> "MlflowClient":
        """MLflow's client, which knows the run from now on."""
        client = _client(self._uri)
        if not self._id:
            if (known := self._known()) and _has(client, known):
                self._id = known
                self._sent = {item.step for item in client.get_metric_history(known, "loss/train")}
                client.update_run(known, status="RUNNING")
            else:
                self._id = self._create(client)
        return client

    def _known(self) -> str | None:
        path = self.run.folder / NAME
        try:
            return from_fields(Link, parse(read_text(path))).run_id if path.is_file() else None
        except (OSError, ValueError) as error:
            raise TrackingError(f"{path} is damaged ({error}); remove it, and MLflow gets the run anew") from None

    def _create(self, client: "MlflowClient") -> str:
        from mlflow.entities import Param

        record = self.run.read()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = client.get_experiment_by_name(name)
        where = experiment.experiment_id if experiment else client.create_experiment(name)
        tags = {"data_md5s": json.dumps(record.data_md5s)}
        found = str(client.create_run(where, tags=tags, run_name=self.run.name).info.run_id)
        client.log_batch(found, params=[Param(key, value) for key, value in parameters_of(record).items()])
        if self.run.folder.parent != PRETRAINED_RUNS:  # the package is no place for files
            atomic.write_text(self.run.folder / NAME, json.dumps(asdict(Link("lenet-edge mlflow 1", found))) + "\n")
        return found

    def _send_epochs(self, client: "MlflowClient") -> None:
        for epoch in read_history(self.run) if self.run.history_path.is_file() else []:
            if epoch.epoch not in self._sent:
                _log_metrics(client, self._id, figures_of(epoch), epoch.epoch)
                self._sent.add(epoch.epoch)


def _client(uri: str) -> "MlflowClient":
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def _has(client: "MlflowClient", run_id: str) -> bool:
    """Whether this MLflow knows the run; the id may be another one's."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return False
        raise


def _log_metrics(client: "MlflowClient", run_id: str, values: Mapping[str, float], step: int) -> None:
    from mlflow.entities import Metric

    now = int(1000 * time.time())
    client.log_batch(run_id, metrics=[Metric(key, float(value), now, step) for key, value in values.items()])


@contextmanager
def _explained(uri: str, more: str = "") -> Iterator[None]:
    """Turns what MLflow raises into TrackingError."""
    try:
        yield
    except LenetEdgeError:
        raise
    except Exception as error:  # MLflow's own, and whatever its databases and servers raise
        reason = " ".join(str(error).split())[:500]
        said = (
            f"MLflow at {uri} does not answer as it should ({reason}); start one with 'mlflow server', or name a "
            f"database such as sqlite:///mlflow.db"
        )
    else:
        return
    raise TrackingError(_shown(f"{said}; {more}" if more else said))


def _shown(text: str) -> str:
    """Without the password of an address."""
    return re.sub(r"//[^/@\s]*@", "//...@", text)
