"""Training: it learns, repeats bit for bit, stops and resumes, and notices when it fails."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lenet_edge.data.image_data import VALIDATION_SHARE, ImageData, split_indices
from lenet_edge.networks.models import LeNet5, build_model
from lenet_edge.networks.recipes import RECIPES
from lenet_edge.runs import checkpoints
from lenet_edge.runs.history import read_history
from lenet_edge.runs.reference import load_net
from lenet_edge.runs.run import Run
from lenet_edge.training.optimization import epochs_for, learning_rate_at
from lenet_edge.training.trainer import Trainer, logits_of
from lenet_edge.training.training import resolve_device, start_record, train
from lenet_edge.training.watcher import TrainingStopped, Watcher
from lenet_edge_runtime.errors import RunError, TrainingError
from stopping import StopAfter
from trained_runs import small_digits

EPOCHS = 3
TRAININGS = [
    "lenet5",
    "lenet5-best",
    "lenet5-robust",
    "lenet5-partial",
    "digits-cnn",
    "digits-cnn-reported",
]  # each way of training there is


@pytest.fixture
def data(digits: ImageData) -> ImageData:
    return small_digits(digits, 300)


def new_run(folder: Path, data: ImageData, recipe: str = "lenet5", seed: int = 0, **changes: object) -> Run:
    folder.mkdir(parents=True)
    run = Run(folder)
    chosen = replace(RECIPES[recipe], **{"batch_size": 64, **changes})
    run.write(start_record(chosen, data, seed=seed, device="cpu", threads=1, epochs=EPOCHS))
    return run


def test_a_trained_run_is_whole(digits_run: Run) -> None:
    record = digits_run.read()
    assert record.status == "finished"
    assert record.metrics["test_accuracy"] > 0.93
    assert record.metrics["parameters"] == 61_706
    assert record.metrics["epochs"] == len(read_history(digits_run)) == record.recipe.epochs
    assert not digits_run.checkpoint_path.exists()
    assert {"python", "torch"} <= set(record.versions)


def test_reported_accuracy_is_that_of_the_saved_weights(digits_run: Run, digits: ImageData) -> None:
    record = digits_run.read()
    net = LeNet5(record.recipe.model)
    checkpoints.load_weights(digits_run.weights_path, net)
    images = torch.from_numpy(digits.test_pixels.copy()).float() / 255
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    logits = net.eval()((padded - record.spec.mean[0]) / record.spec.std[0])
    right = (logits.argmax(1).numpy() == digits.test_labels).mean()
    assert right == pytest.approx(record.metrics["test_accuracy"])


def test_train_accuracy_is_that_of_the_saved_weights_on_the_images_trained_on(
    digits_run: Run, digits: ImageData
) -> None:
    record = digits_run.read()
    net = build_model(record.recipe.model)
    checkpoints.load_weights(digits_run.weights_path, net)
    train, _ = split_indices(digits.train_labels, VALIDATION_SHARE, record.seed)
    images = torch.from_numpy(digits.train_pixels[train]).float() / 255
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    logits = net.eval()((padded - record.spec.mean[0]) / record.spec.std[0])
    right = (logits.argmax(1).numpy() == digits.train_labels[train]).mean()
    assert right == pytest.approx(record.metrics["train_accuracy"])


def test_the_robust_recipe_reads_on_a_light_ground(digits_run: Run, digits: ImageData) -> None:
    """Half or less of the contrast on three grounds; lenet5 reads 35 to 51 % of these digits."""
    record = start_record(RECIPES["lenet5-robust"], digits, device="cpu", threads=1, epochs=12)
    trainer = Trainer(record, digits)
    for _ in range(12):
        trainer.train_epoch(Watcher())
    usual = load_net(digits_run, digits_run.read())
    for share, grey in ((0.5, 255), (0.7, 128), (0.7, 30)):
        pixels = np.rint(digits.test_pixels * (1 - share) + share * grey).astype(np.uint8)
        right, before = (
            float(
                (logits_of(net, record.spec, torch.from_numpy(pixels)).argmax(1).numpy() == digits.test_labels).mean()
            )
            for net in (trainer.final_net, usual)
        )
        assert right > 0.9
        assert right > before + 0.2


@pytest.mark.parametrize("recipe", TRAININGS)
def test_same_seed_gives_same_bytes(recipe: str, tmp_path: Path, data: ImageData) -> None:
    runs = [new_run(tmp_path / str(number), data, recipe, seed) for number, seed in enumerate([0, 0, 1])]
    for run in runs:
        train(run, data, Watcher())
    first, again, other = (run.weights_path.read_bytes() for run in runs)
    assert first == again
    assert first != other


@pytest.mark.parametrize("recipe", TRAININGS)
@pytest.mark.parametrize("stopped_after", [0, 1, 2])
def test_resuming_is_bit_exact(recipe: str, stopped_after: int, tmp_path: Path, data: ImageData) -> None:
    dropout = replace(RECIPES[recipe].model, dropout=0.2)  # draws from the global generator
    straight = new_run(tmp_path / "straight", data, recipe, model=dropout)
    train(straight, data, Watcher())

    stopped = new_run(tmp_path / "stopped", data, recipe, model=dropout)
    with pytest.raises(TrainingStopped, match=rf"{stopped_after} of 3 epochs are kept.*--resume") as caught:
        train(stopped, data, StopAfter(stopped_after))
    assert caught.value.exit_code == 128 + signal.SIGTERM
    torch.manual_seed(12345)  # whatever else happened in between
    train(stopped, data, Watcher(), resume=True)

    assert stopped.weights_path.read_bytes() == straight.weights_path.read_bytes()
    same = [replace(row, seconds=0, images_per_second=0) for row in read_history(straight)]
    assert [replace(row, seconds=0, images_per_second=0) for row in read_history(stopped)] == same


def test_strangers_are_the_same_after_a_stop(tmp_path: Path, data: ImageData) -> None:
    straight, stopped, without = (
        new_run(tmp_path / name, data, strangers=share)
        for name, share in (("straight", 0.3), ("stopped", 0.3), ("without", 0.0))
    )
    train(straight, data, Watcher())
    train(without, data, Watcher())
    with pytest.raises(TrainingStopped):
        train(stopped, data, StopAfter(1))
    torch.manual_seed(12345)
    train(stopped, data, Watcher(), resume=True)
    assert stopped.weights_path.read_bytes() == straight.weights_path.read_bytes()
    assert straight.weights_path.read_bytes() != without.weights_path.read_bytes()


@pytest.mark.parametrize("stopped_after", [1, 2])
def test_patience_keeps_the_best_epoch_however_it_was_interrupted(
    stopped_after: int, tmp_path: Path, data: ImageData
) -> None:
    """At a rate of zero no epoch is better than the first, which is kept after two more."""
    still = {"learning_rate": 0.0, "schedule": "constant", "average_decay": 0.0, "patience": 2}
    straight, stopped = (new_run(tmp_path / name, data, "lenet5-classic", **still) for name in ("straight", "stopped"))
    for run in (straight, stopped):
        run.write(replace(run.read(), recipe=replace(run.read().recipe, epochs=9)))
    record = train(straight, data, Watcher())
    assert record.metrics["epochs"] == 3
    assert record.metrics["val_accuracy"] == read_history(straight)[0].val_accuracy
    with pytest.raises(TrainingStopped):
        train(stopped, data, StopAfter(stopped_after))
    if stopped_after == 1:
        stopped.weights_path.unlink()  # a kill between the checkpoint and the best weights
    train(stopped, data, Watcher(), resume=True)
    assert stopped.weights_path.read_bytes() == straight.weights_path.read_bytes()


def test_nan_loss_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path, data: ImageData) -> None:
    class Poison(Watcher):
        """After one epoch, makes the network's output infinite, as a far too high learning rate does."""

        def epoch_done(self, epoch: object, epochs: int) -> None:
            trainer.net.layers.output.weight.data.fill_(float("inf"))

    run = new_run(tmp_path / "run", data)
    with pytest.MonkeyPatch.context() as patch:
        trainer = Trainer(run.read(), data)
        patch.setattr("lenet_edge.training.training.Trainer", lambda *_arguments: trainer)
        with pytest.raises(TrainingError, match=r"the loss became nan in epoch 2; the checkpoint of epoch 1 is kept"):
            train(run, data, Poison())
    state = checkpoints.load_state(run.checkpoint_path)
    assert state.epoch == 1
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.part("net").values())


def test_damaged_checkpoint_is_refused(tmp_path: Path, data: ImageData) -> None:
    run = new_run(tmp_path / "run", data)
    run.checkpoint_path.write_bytes(b"\x10" * 100)
    with pytest.raises(RunError, match="missing or damaged"):
        train(run, data, Watcher(), resume=True)


def test_checkpoint_of_an_older_version_is_refused(tmp_path: Path, data: ImageData) -> None:
    run = new_run(tmp_path / "run", data)
    state = Trainer(run.read(), data).state()
    state.tensors["momentum.0"] = torch.zeros(1)
    checkpoints.save_state(run.checkpoint_path, state)
    with pytest.raises(RunError, match=r"lenet-edge 0\.1.*train again"):
        train(run, data, Watcher(), resume=True)


def test_validation_images_are_not_trained_on(data: ImageData, tmp_path: Path) -> None:
    trainer = Trainer(new_run(tmp_path / "run", data).read(), data)
    train_rows = {row.tobytes() for row in trainer.train_pixels.numpy()}
    val_rows = {row.tobytes() for row in trainer.val_pixels.numpy()}
    everything = {row.tobytes() for row in data.train_pixels}
    assert train_rows | val_rows == everything
    assert not train_rows & val_rows


def test_learning_rate_rises_then_falls_to_zero() -> None:
    recipe = RECIPES["lenet5"]
    rates = np.array([learning_rate_at(step, 1000, recipe) for step in range(1001)])
    assert rates[0] == pytest.approx(recipe.learning_rate / 25)
    assert rates.argmax() == 200
    assert rates.max() == pytest.approx(recipe.learning_rate)
    assert rates[-1] == pytest.approx(0)
    assert (np.diff(rates[:201]) > 0).all()
    assert (np.diff(rates[200:]) < 0).all()


def test_constant_rate_is_constant() -> None:
    recipe = RECIPES["lenet5-classic-reported"]
    assert {learning_rate_at(step, 1000, recipe) for step in range(1001)} == {0.01}


def test_recipe_may_replace_the_datas_normalisation(data: ImageData) -> None:
    record = start_record(RECIPES["digits-cnn"], data)
    assert (record.spec.mean, record.spec.std) == ((0.5,), (0.5,))
    record = start_record(RECIPES["lenet5"], data)
    assert (record.spec.mean, record.spec.std) == (data.mean, data.std)


def test_small_sets_get_more_epochs() -> None:
    recipe = RECIPES["lenet5"]
    assert epochs_for(recipe, 55_000) == recipe.epochs
    assert epochs_for(recipe, 1_100) * (1_100 // recipe.batch_size) >= recipe.minimum_steps


def test_device_that_is_not_there_is_an_error() -> None:
    with pytest.raises(TrainingError, match=r"device 'tpu' is not usable.*there is: cpu"):
        resolve_device("tpu")
    assert resolve_device("cpu").type == "cpu"


def test_training_waits_for_no_compiler_and_no_matplotlib(tmp_path: Path, digits: ImageData) -> None:
    """Their imports would take longer than a short training."""
    np.savez(tmp_path / "few.npz", images=digits.train_pixels[:200, 0], labels=digits.train_labels[:200])
    program = (
        "import sys; from lenet_edge import train; "
        "train('lenet5', dataset='few.npz', epochs=1, out='run', threads=1); "
        "print(*sorted({'torch._dynamo', 'matplotlib', 'sympy', 'sklearn'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
    assert (tmp_path / "run" / "curves.png").stat().st_size > 5_000
