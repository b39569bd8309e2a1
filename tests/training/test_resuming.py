"""`train --resume` with what was typed before: accepted where it agrees with the run, else the difference is named."""

import json
import shutil
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from command_line import CommandLine
from lenet_edge.data.datasets import load_dataset
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.recipes import Recipe, find_recipe
from lenet_edge.runs.opened import open_run
from lenet_edge.runs.run import Run
from lenet_edge.training.fine_tuning import start_fine_tuning
from lenet_edge.training.training import start_record, train
from lenet_edge.training.watcher import TrainingStopped, Watcher

TYPED = (
    "lenet5", "--dataset", "digits", "--epochs", "2", "--batch-size", "64", "--lr", "0.05", "--seed", "7",
    "--device", "cpu", "--threads", "1",
)  # fmt: skip


class StopAfterOneEpoch(Watcher):
    def epoch_done(self, epoch: object, epochs: int) -> None:
        raise TrainingStopped("stopped by the test", signal.SIGINT)


@pytest.fixture(scope="module")
def once_stopped(digits: ImageData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs, as TYPED starts it, that was stopped after the first."""
    recipe = replace(find_recipe("lenet5"), batch_size=64, learning_rate=0.05)
    return stop(recipe, digits, tmp_path_factory.mktemp("runs") / "stopped").folder


@pytest.fixture
def stopped(cli: CommandLine, once_stopped: Path) -> Run:
    return Run(Path(shutil.copytree(once_stopped, "runs/stopped")))


def stop(recipe: Recipe, data: ImageData, folder: Path) -> Run:
    run = Run(folder)
    run.folder.mkdir(parents=True)
    run.write(start_record(recipe, data, seed=7, device="cpu", threads=1, epochs=2))
    run.remember_data(data)
    with pytest.raises(TrainingStopped):
        train(run, data, StopAfterOneEpoch())
    return run


def refused(cli: CommandLine, *arguments: str | Path) -> str:
    result = cli("train", "--resume", *arguments)
    assert result.exit_code == 2, result.output
    return " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize("typed", [TYPED, TYPED[:3], ("--device", "auto"), ()], ids=len)
def test_repeated_options_that_agree(typed: Sequence[str], stopped: Run, cli: CommandLine) -> None:
    result = cli("train", *typed, "--resume", "--out", stopped.folder, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["epochs"] == 2


@pytest.mark.parametrize(
    ("different", "named"),
    [
        (("lenet5-classic",), "recipe lenet5-classic (the run has lenet5)"),
        (("--dataset", "mnist"), "--dataset mnist (the run has digits)"),
        (("--dataset", "photos"), "--dataset photos (the run has digits)"),
        (("--epochs", "3"), "--epochs 3 (the run has 2)"),
        (("--batch-size", "32"), "--batch-size 32 (the run has 64)"),
        (("--lr", "0.1"), "--lr 0.1 (the run has 0.05)"),
        (("--seed", "0"), "--seed 0 (the run has 7)"),
        (("--device", "cuda"), "--device cuda (the run has cpu)"),
        (("--strangers",), "--strangers (the run was started without it)"),
        (("--threads", "2"), "--threads 2 (the run has 1)"),
        (("--qat",), "--qat (the run was started without it)"),
        (("--lr", "0.1", "--seed", "1"), "--lr 0.1 (the run has 0.05), --seed 1 (the run has 7)"),
    ],
)
def test_option_that_differs_is_named(different: Sequence[str], named: str, stopped: Run, cli: CommandLine) -> None:
    before = stopped.record_path.read_bytes()
    message = refused(cli, *different, "--out", stopped.folder)
    assert f"as it was started, not with {named}; leave that out" in message
    assert stopped.record_path.read_bytes() == before


def test_a_folder_of_images_under_any_spelling(cli: CommandLine, digits: ImageData) -> None:
    for index, label in enumerate(digits.train_labels[:300]):
        path = Path("photos", str(label), f"{index}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.train_pixels[index, 0]).save(path)
    shutil.copytree("photos", "others")
    run = stop(find_recipe("lenet5"), load_dataset("photos"), Path("runs/stopped"))
    assert "--dataset others (the run has " in refused(cli, "--dataset", "others", "--out", run.folder)
    result = cli("train", "--resume", "--dataset", "./photos/", "--out", run.folder)
    assert result.exit_code == 0, result.output


def test_fine_tuning_goes_on_from_the_run_that_it_started_from(
    cli: CommandLine, digits: ImageData, digits_run: Run, classic_run: Run
) -> None:
    run = start_fine_tuning(open_run(digits_run), digits, out=Path("tuned"), epochs=1, device="cpu", threads=1)
    named = refused(cli, "--qat", "--from", classic_run.folder, "--out", run.folder)
    assert f"--from {classic_run.folder} (the run has other weights)" in named
    result = cli("train", "--resume", "--qat", "--from", digits_run.folder, "--epochs", "1", "--out", run.folder)
    assert result.exit_code == 0, result.output
