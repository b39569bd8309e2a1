"""Studies on a Dask cluster: a real scheduler and real workers on this machine."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from command_line import CommandLine
from dask_cluster import DaskCluster, dask_cluster, environment, finished_epochs, wait_for, weights_of
from lenet_edge.cluster import connection
from lenet_edge.data import datasets
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.recipes import RECIPES
from lenet_edge.studies import cluster as client_side

pytestmark = pytest.mark.skipif(find_spec("distributed") is None, reason="distributed (extra `cluster`) is missing")
DIGITS = ("--dataset", "digits", "--epochs", "3", "--device", "cpu", "--threads", "1")
LONG = ("--dataset", "digits", "--epochs", "20", "--device", "cpu", "--threads", "1")
# Every epoch is a task of its own.
PROGRAM = "from lenet_edge.studies import cluster; cluster.TASK_SECONDS = 0; from lenet_edge.cli import main; main()"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path_factory.mktemp("dask"), workers=2) as started:
        yield started


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The weights of a long study that nothing disturbed, in one process."""
    folder = tmp_path_factory.mktemp("expected")
    compare(CommandLine(folder), "lenet5", "--seeds", "2", *LONG, "--out", folder)
    return weights_of(folder)


@pytest.fixture(autouse=True)
def _a_task_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_side, "TASK_SECONDS", 0.0)


def compare(cli: CommandLine, *arguments: str | Path) -> dict[str, Any]:
    result = cli("compare", *arguments, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_weights_are_those_of_one_process(
    cli: CommandLine, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(cli, "lenet5", "study-dropout", "--seeds", "2", *DIGITS, "--out", "here")
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.address)
    document = compare(cli, "lenet5", "study-dropout", "--seeds", "2", *DIGITS, "--out", "there")
    assert weights_of(cli.folder / "there") == weights_of(cli.folder / "here")
    assert len(weights_of(cli.folder / "there")) == 4
    assert [row["epochs"] for row in document["runs"]] == [3] * 4
    names = {folder.name: {path.name for path in folder.iterdir()} for folder in (cli.folder / "there/runs").iterdir()}
    assert set(map(frozenset, names.values())) == {
        frozenset(path.name for path in folder.iterdir()) for folder in (cli.folder / "here/runs").iterdir()
    }
    assert all(row["reused"] for row in compare(cli, "lenet5", "--seeds", "2", *DIGITS, "--out", "there")["runs"])


def test_images_that_a_worker_lacks_are_sent(
    cli: CommandLine, cluster: DaskCluster, digits: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = replace(digits, train_pixels=255 - digits.train_pixels, md5s={"digits": "others"})
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: here)
    compare(cli, "lenet5", "--seeds", "2", *DIGITS, "--out", "here")
    compare(cli, "lenet5", "--seeds", "2", *DIGITS, "--out", "there", "--scheduler", cluster.address)
    assert weights_of(cli.folder / "there") == weights_of(cli.folder / "here")


def test_a_failing_run_is_named_and_the_others_are_kept(
    cli: CommandLine, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, "wild", replace(RECIPES["lenet5-classic"], name="wild", learning_rate=1e38))
    result = cli("compare", "wild", "lenet5", "--seeds", "1", *DIGITS, "--scheduler", cluster.address)
    assert result.exit_code == 1, result.output
    last = result.stderr.strip().splitlines()[-1]
    assert "1 of 2 runs in studies/digits failed, wild seed 0 because: the loss became nan in epoch 1" in last
    assert list(weights_of(cli.folder / "studies/digits")) == ["lenet5-digits-seed0"]


def test_workers_of_other_versions_are_refused_with_both(
    cli: CommandLine, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for_worker(cluster)
    versions = connection.installed_versions(("lenet-edge", "torch"))
    monkeypatch.setattr(connection, "installed_versions", lambda _: {**versions, "torch": "1.0"})
    message = cli.fails("compare", "lenet5", *DIGITS, "--scheduler", cluster.address)
    assert f"has torch {versions['torch']}, this machine has torch 1.0; install the same versions on both" in message
    assert list(cli.folder.iterdir()) == []


def test_a_study_goes_on_without_a_worker_that_was_killed(
    cli: CommandLine, cluster: DaskCluster, expected: dict[str, bytes]
) -> None:
    process = begun(cli, cluster)
    cluster.kill(cluster.workers[0])
    _, stderr = process.communicate(timeout=300)
    cluster.start_worker()
    assert process.returncode == 0, stderr
    assert weights_of(cli.folder / "studies/digits") == expected


def test_a_stopped_study_goes_on_inside_its_runs(
    cli: CommandLine, cluster: DaskCluster, expected: dict[str, bytes]
) -> None:
    process = begun(cli, cluster)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=180)
    assert "Traceback" not in stderr
    assert process.returncode == 130
    message = "stopped; 0 of 2 runs in studies/digits are finished; the same command goes on"
    assert stderr.strip().endswith(message), stderr
    kept = [finished_epochs(run) for run in (cli.folder / "studies/digits/runs").iterdir()]
    assert all(2 <= epochs < 20 for epochs in kept)
    went_on = compare(cli, "lenet5", "--seeds", "2", *LONG, "--scheduler", cluster.address)
    assert not any(row["reused"] for row in went_on["runs"])
    assert weights_of(cli.folder / "studies/digits") == expected


def test_workers_stop_in_mid_epoch_when_nobody_waits_any_more(cli: CommandLine, cluster: DaskCluster) -> None:
    from distributed import Client

    words = ("lenet5", "--seeds", "2", *DIGITS, "--epochs", "100000", "--scheduler", cluster.address)
    endless = PROGRAM.replace("TASK_SECONDS = 0", "TASK_SECONDS = 1e9")
    process = subprocess.Popen([sys.executable, "-c", endless, "compare", *words], cwd=cli.folder, env=environment())
    with Client(cluster.address) as client:

        def at_work() -> list[int]:
            found = client.run(lambda dask_worker: dask_worker.state.executing_count)
            return sorted(found.values())

        wait_for(lambda: at_work() == [1, 1])
        process.kill()
        process.wait()
        wait_for(lambda: at_work() == [0, 0])


def test_a_scheduler_that_is_not_there_is_named(cli: CommandLine) -> None:
    import dask

    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        message = cli.fails("compare", "lenet5", *DIGITS, "--scheduler", "tcp://127.0.0.1:1")
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in message
    assert message.endswith("start one with 'dask scheduler'")


def test_without_distributed_the_extra_is_named(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    message = cli.fails("compare", "lenet5", *DIGITS, "--scheduler", "tcp://127.0.0.1:1")
    assert message.endswith(
        "--scheduler needs distributed, which is not installed; type: pip install 'lenet-edge[cluster]'"
    )


def test_jobs_and_a_cluster_are_not_both_asked_for(cli: CommandLine) -> None:
    result = cli("compare", "lenet5", *DIGITS, "--jobs", "2", "--scheduler", "tcp://127.0.0.1:1")
    assert result.exit_code == 2
    assert "--jobs is for this machine" in result.stderr


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_tls_is_as_dask_is_configured(cli: CommandLine, tmp_path: Path, expected: dict[str, bytes]) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=lenet"]
    subprocess.run([*words, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    comm = {"REQUIRE_ENCRYPTION": "true", "DEFAULT_SCHEME": "tls", "TLS__CA_FILE": str(certificate)}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        comm |= {f"TLS__{role}__CERT": str(certificate), f"TLS__{role}__KEY": str(key)}
    settings = {f"DASK_DISTRIBUTED__COMM__{name}": value for name, value in comm.items()}
    compared = [sys.executable, "-m", "lenet_edge", "compare", "lenet5", "--seeds", "2", *LONG]
    with dask_cluster(tmp_path, workers=1, scheme="tls", settings=settings) as cluster:
        encrypted = [*compared, "--scheduler", cluster.address]
        refused = subprocess.run(
            encrypted, cwd=cli.folder, env=environment(), capture_output=True, text=True, check=False
        )
        subprocess.run(encrypted, cwd=cli.folder, env=cluster.environment, check=True, capture_output=True)
    assert refused.returncode == 1
    assert f"no Dask scheduler answers at {cluster.address}" in refused.stderr
    assert weights_of(cli.folder / "studies/digits") == expected


def begun(cli: CommandLine, cluster: DaskCluster) -> "subprocess.Popen[str]":
    """A study of two seeds, in the midst of both trainings."""
    words = ["compare", "lenet5", "--seeds", "2", *LONG, "--scheduler", cluster.address]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], cwd=cli.folder, env=environment(), stderr=subprocess.PIPE, text=True
    )
    runs = [cli.folder / "studies" / "digits" / "runs" / f"lenet5-digits-seed{seed}" for seed in (0, 1)]
    wait_for(lambda: all(finished_epochs(run) >= 2 for run in runs) or process.poll() is not None)
    return process


def wait_for_worker(cluster: DaskCluster) -> None:
    from distributed import Client

    with Client(cluster.address) as client:
        client.wait_for_workers(1)
