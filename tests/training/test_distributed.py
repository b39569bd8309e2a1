"""Several processes train as one does: spawned on this machine, joined by gloo, against the same training alone."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from command_line import CommandLine
from lenet_edge.data.datasets import load_dataset
from lenet_edge.networks.recipes import RECIPES
from lenet_edge.runs.finding import find_run
from lenet_edge.runs.record import RunRecord
from lenet_edge.training import distributed, launcher
from lenet_edge.training.follower import prepared
from lenet_edge.training.trainer import Assignment, Trainer
from lenet_edge.training.training import start_record
from lenet_edge.training.watcher import Watcher
from lenet_edge_runtime.errors import DataError, TrainingError
from trained_runs import small_digits

ROOT = Path(__file__).parents[2]
PROCESSES = 2
STRANGERS = "lenet5 with strangers"
TRAININGS = (*RECIPES, STRANGERS)
BATCH = 61  # which 2 processes cannot share alike; one step an epoch


def record_of(recipe: str) -> tuple[RunRecord, Any]:
    """For one step of plain SGD: Adam's is as long for a gradient of 1e-9, a sum's last bits, as for 1."""
    data = small_digits(load_dataset("digits"), 100)
    weighed = replace(RECIPES["lenet5"], strangers=0.25, class_weights="balanced")
    chosen = weighed if recipe == STRANGERS else RECIPES[recipe]
    changed = replace(chosen, batch_size=BATCH, optimizer="sgd", schedule="constant", learning_rate=0.05)
    return start_record(changed, data, device="cpu", threads=1, epochs=1), data


def train_an_epoch(recipe: str, team: distributed.Team) -> dict[str, Any]:
    trainer = Trainer(*record_of(recipe), team)
    if isinstance(team, distributed.ProcessTeam) and not team.leads:
        team.receive()
    epoch = trainer.train_epoch(Watcher())
    return {"loss": epoch.train_loss, "accuracy": epoch.train_accuracy, **trainer.state().tensors}


def work(rank: int, port: int, folder: Path) -> None:
    os.environ.update(variables(rank, port))
    with distributed.assembled() as team:
        results = {recipe: train_an_epoch(recipe, team) for recipe in TRAININGS}
        torch.save(results, folder / f"{rank}.pt")
        if not team.leads:
            assert isinstance(team, distributed.ProcessTeam)
            assert team.receive() is None
    (folder / f"{rank}.threads").write_text(" ".join(thread_names()))


def thread_names() -> list[str]:
    """What this process's threads are called; empty but on Linux."""
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


def variables(rank: int, port: int) -> dict[str, str]:
    """What torchrun sets."""
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": PROCESSES, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return {name: str(value) for name, value in names.items()}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def team_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What each process of two came to and left behind."""
    folder, port = tmp_path_factory.mktemp("ranks"), free_port()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(rank, port, folder)) for rank in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    return folder


@pytest.fixture(scope="module")
def trained(team_folder: Path) -> list[dict[str, Any]]:
    """What each process came to, by recipe."""
    return [torch.load(team_folder / f"{rank}.pt") for rank in range(PROCESSES)]


@pytest.mark.parametrize("recipe", TRAININGS)
def test_two_processes_train_as_one(recipe: str, trained: list[dict[str, Any]]) -> None:
    """BatchNorm, dropout, augmentation, momentum and averages included."""
    alone, first = train_an_epoch(recipe, distributed.ALONE), trained[0][recipe]
    assert first.keys() == alone.keys()
    for name, expected in alone.items():
        if isinstance(expected, torch.Tensor) and expected.is_floating_point():
            torch.testing.assert_close(first[name], expected, rtol=1e-3, atol=1e-4, msg=lambda text, n=name: n + text)
        elif isinstance(expected, torch.Tensor):
            assert torch.equal(first[name], expected), name  # random states, counters
        else:
            assert first[name] == pytest.approx(expected, rel=1e-5), name


@pytest.mark.parametrize("recipe", TRAININGS)
def test_processes_hold_the_same_bits(recipe: str, trained: list[dict[str, Any]]) -> None:
    first, second = (results[recipe] for results in trained)
    for name, tensor in first.items():
        assert torch.equal(torch.as_tensor(tensor), torch.as_tensor(second[name])), name


@pytest.mark.skipif(sys.platform != "linux", reason="threads are named under /proc")
@pytest.mark.parametrize("rank", range(PROCESSES))
def test_a_team_that_parts_leaves_no_thread(rank: int, team_folder: Path) -> None:
    """gloo's, alive while Python is finalised, abort the process."""
    threads = (team_folder / f"{rank}.threads").read_text()
    assert threads
    assert "gloo" not in threads


def test_one_process_touches_nothing_of_torch_distributed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.distributed, "init_process_group", None)
    with distributed.assembled() as team:
        assert team is distributed.ALONE
        assert not launcher.follows()
    trainer = Trainer(*record_of("lenet5"))
    assert {type(module) for module in trainer.net.modules()} & set(distributed._SHARED.values()) == set()


@pytest.mark.parametrize("size", [2, 3, 5])
def test_shares_are_the_batch(size: int) -> None:
    shares = [distributed.ProcessTeam(rank, size).share(128) for rank in range(size)]
    assert np.concatenate([np.arange(128)[share] for share in shares]).tolist() == list(range(128))
    assert max(len(range(128)[share]) for share in shares) - min(len(range(128)[share]) for share in shares) <= 1


def test_a_batch_smaller_than_the_team_is_refused() -> None:
    with pytest.raises(TrainingError, match="a batch of 2 images is too small for 3 processes"):
        distributed.ProcessTeam(0, 3).share(2)


# --- the command line ----------------------------------------------------------------------------------------------


def environment(**more: str) -> dict[str, str]:
    storeys = [ROOT, ROOT / "exporters", ROOT / "runtime"]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, storeys)), "OMP_NUM_THREADS": "1", **more}


def start(folders: list[Path], command: str) -> list["subprocess.Popen[str]"]:
    """One process of `lenet-edge` in each folder, as torchrun starts them."""
    port = free_port()
    return [
        subprocess.Popen(
            [sys.executable, "-m", "lenet_edge", *command.split()],
            cwd=folder, env=environment(**variables(rank, port)),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank, folder in enumerate(folders)
    ]  # fmt: skip


def test_compare_under_torchrun(tmp_path: Path) -> None:
    launch = "torch.distributed.run --standalone --nproc-per-node 2 -m lenet_edge"
    command = "compare lenet5 lenet5-classic --dataset digits --seeds 1 --epochs 2 --device cpu --json"
    result = subprocess.run(
        [sys.executable, "-m", *launch.split(), *command.split()],
        cwd=tmp_path, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)  # one process alone prints
    assert [(row["recipe"], row["processes"], row["reused"]) for row in document["runs"]] == [
        ("lenet5", 2, False),
        ("lenet5-classic", 2, False),
    ]
    assert result.stderr.count("2 of 2 runs to train") == 1


def test_a_stopped_team_stops_together_and_one_process_goes_on(cli: CommandLine) -> None:
    folders = [cli.folder, cli.folder]
    processes = start(folders, "train lenet5 --dataset digits --epochs 200 --device cpu --out run")
    wait_for(lambda: history_of(cli.folder / "run") >= 1)
    for _ in range(2):  # a terminal's Ctrl-C, and torchrun's own
        for process in processes:
            process.send_signal(signal.SIGINT)
    (_, leading), (printed, following) = (process.communicate(timeout=180) for process in processes)
    assert [process.returncode for process in processes] == [130, 0]
    assert "epochs are kept; go on with: lenet-edge train --resume --out run" in leading
    assert printed + following == ""
    record = find_run(Path("run"), status=("training",)).run.read()
    assert record.processes == 2

    shorter = replace(record, recipe=replace(record.recipe, epochs=history_of(cli.folder / "run") + 1))
    find_run(Path("run"), status=("training",)).run.write(shorter)
    result = cli("train", "--resume", "--out", "run", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["processes"] == 1


def test_the_end_of_one_process_is_that_of_all(tmp_path: Path) -> None:
    leading, following = start([tmp_path] * 2, "train lenet5 --dataset digits --epochs 500 --device cpu --out run")
    wait_for(lambda: history_of(tmp_path / "run") >= 1)
    following.kill()
    following.communicate()
    _, stderr = leading.communicate(timeout=180)
    assert leading.returncode == 1
    assert stderr.strip().splitlines()[-1].startswith("lenet-edge: error: another process of this training is gone")
    assert "Traceback" not in stderr
    assert find_run(tmp_path / "run", status=("training",)).run.checkpoint_path.is_file()


def test_a_follower_refuses_other_images() -> None:
    record, data = record_of("lenet5")
    trainer = Trainer(record, data)
    assignment = Assignment("digits", replace(record, data_md5s={"digits": "0"}), trainer.state())
    with pytest.raises(DataError, match="the images of digits on this machine are not those of the leading process"):
        prepared(assignment, distributed.ProcessTeam(1, 2), None)


def test_what_needs_one_process_is_refused(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables(0, 1).items():
        monkeypatch.setenv(name, value)
    for arguments in (["train", "--qat"], ["compare", "lenet5", "--jobs", "2"]):
        result = cli(*arguments)
        assert result.exit_code == 2
        assert "torchrun" in result.stderr


def history_of(folder: Path) -> int:
    history = folder / "history.csv"
    return len(history.read_text().splitlines()) - 1 if history.is_file() else 0


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
