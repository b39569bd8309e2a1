"""`--mlflow`: what a real MLflow has of a run then. Its database is SQLite, so that no server has to be started."""

import json
from pathlib import Path
from typing import Any

import pytest

from command_line import CommandLine
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.recipes import find_recipe
from lenet_edge.runs.history import read_history
from lenet_edge.runs.run import Run
from lenet_edge.tracking.mlflow import Mlflow
from lenet_edge.training.training import complete, start_run
from lenet_edge.training.watcher import TrainingStopped, Watcher, Watchers
from lenet_edge_runtime.errors import TrackingError
from stopping import StopAfter

mlflow = pytest.importorskip("mlflow", reason="mlflow (pip install mlflow: 850 MB) is not installed")
pytest.importorskip("sqlalchemy", reason="the whole of mlflow is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of MLflow and its packages
SHORT = ("--dataset", "digits", "--epochs", "2", "--device", "cpu", "--threads", "1", "--mlflow")


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """By an absolute path: MLflow keeps what it has opened by its address."""
    for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return f"sqlite:///{tmp_path}/mlflow.db"


def stored(uri: str) -> list[Any]:
    client = mlflow.MlflowClient(uri)
    return list(client.search_runs([client.get_experiment_by_name("lenet-edge").experiment_id]))


def files(uri: str, run_id: str) -> set[str]:
    client, found, folders = mlflow.MlflowClient(uri), set(), [None]
    for folder in folders:
        for item in client.list_artifacts(run_id, folder):
            folders.append(item.path) if item.is_dir else found.add(item.path)
    return found


def test_a_run_and_its_exports_are_one_run_there(cli: CommandLine, uri: str) -> None:
    result = cli("train", "lenet5-classic", *SHORT, uri, "--out", "run", "--json")
    assert json.loads(result.stdout)["run"] == "run"  # MLflow prints nothing beside it
    (there,), run = stored(uri), Run(Path("run"))
    record = run.read()
    assert (there.info.status, there.info.run_name, there.info.user_id) == ("FINISHED", "run", "unknown")
    assert {name: there.data.metrics[name] for name in record.metrics} == record.metrics
    assert there.data.params["recipe"] == "lenet5-classic"
    assert json.loads(there.data.params["learning_rate"]) == record.recipe.learning_rate
    assert json.loads(there.data.tags["data_md5s"]) == record.data_md5s
    steps = mlflow.MlflowClient(uri).get_metric_history(there.info.run_id, "accuracy/validation")
    assert [(item.step, item.value) for item in steps] == [(row.epoch, row.val_accuracy) for row in read_history(run)]
    assert str(Path.cwd()) not in json.dumps([there.data.params, there.data.tags])
    assert cli("export", "run", "--int8", "--format", "onnx", "--mlflow", uri).exit_code == 0
    assert cli("export", "run", "--int8", "--format", "onnx", "--mlflow", uri).exit_code == 0
    (again,) = stored(uri)
    assert again.data.metrics == there.data.metrics
    assert files(uri, again.info.run_id) == {
        *(f"run/{name}" for name in ("run.json", "weights.safetensors", "history.csv", "curves.png")),
        *(f"export/{path.name}" for path in Path("run/export").iterdir()),
    }


def test_a_stopped_training_goes_on_as_the_same_run(cli: CommandLine, digits: ImageData, uri: str) -> None:
    run = start_run(find_recipe("lenet5-classic"), digits, Path("run"), device="cpu", threads=1, epochs=3)
    with pytest.raises(TrainingStopped), Mlflow(run, uri) as tracker:
        complete(run, digits, Watchers(StopAfter(1), [tracker]), resume=False)
    (there,) = stored(uri)
    assert there.info.status == "KILLED"
    assert cli("train", "--resume", "--out", "run", "--mlflow", uri).exit_code == 0
    (again,) = stored(uri)
    assert (again.info.run_id, again.info.status) == (there.info.run_id, "FINISHED")
    steps = mlflow.MlflowClient(uri).get_metric_history(again.info.run_id, "loss/train")
    assert [item.step for item in steps] == [1, 2, 3]


def test_compare_sends_each_run_once(cli: CommandLine, uri: str) -> None:
    for _ in range(2):
        assert cli("compare", "lenet5-classic", "--seeds", "2", *SHORT, uri).exit_code == 0
        assert {item.info.run_name for item in stored(uri)} == {f"lenet5-classic-digits-seed{seed}" for seed in (0, 1)}
        assert len(stored(uri)) == 2


def test_what_does_not_answer_is_said_first(cli: CommandLine, uri: str) -> None:
    for address, reason in (("http://me:secret@127.0.0.1:1", "Connection refused"), ("bogus://x", "unsupported URI")):
        message = cli.fails("train", "lenet5", *SHORT, address)
        assert f"MLflow at {address.replace('me:secret', '...')} does not answer as it should" in message
        assert reason in message
        assert message.endswith("start one with 'mlflow server', or name a database such as sqlite:///mlflow.db")
        assert "secret" not in message
    assert not Path("runs").exists()


def test_no_server_that_is_gone_ends_a_training(
    cli: CommandLine, digits: ImageData, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = start_run(find_recipe("lenet5-classic"), digits, Path("run"), device="cpu", threads=1, epochs=2)
    tracker = Mlflow(run, "http://127.0.0.1:1")
    record = complete(run, digits, Watchers(Watcher(), [tracker]), resume=False)
    assert record.status == "finished"
    assert [line[:28] for line in capsys.readouterr().err.splitlines()] == [
        f"epoch {number} is not in MLflow yet" for number in (1, 2)
    ]
    with pytest.raises(TrackingError, match="run is whole; 'export --mlflow' sends all of it later"):
        tracker.finish(record, digits)
    assert cli("export", "run", "--format", "onnx", "--mlflow", uri).exit_code == 0
    (there,) = stored(uri)
    assert there.data.metrics["test_accuracy"] == record.metrics["test_accuracy"]
