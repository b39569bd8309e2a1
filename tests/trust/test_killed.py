"""Training and exporting killed at every write: whatever is left, resuming or repeating ends as if nothing was."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from command_line import CommandLine
from killing import Nursery, killed_at, nursery
from lenet_edge.runs.history import read_history
from lenet_edge.runs.run import Run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

TRAIN = ("train", "lenet5", "--dataset", "digits", "--epochs", "1", "--threads", "1", "--device", "cpu", "--out")
COLUMNS = ("epoch", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy")


@pytest.fixture(scope="module")
def children() -> Iterator[Nursery]:
    with nursery() as found:
        yield found


def losses(run: Run) -> np.ndarray:
    """The history without what the clock says."""
    return np.array([[getattr(row, name) for name in COLUMNS] for row in read_history(run)])


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.startswith((".partial-", "lenet-edge-"))
            and path.name != "lenet-edge-manifest.json"]  # fmt: skip


@pytest.mark.parametrize(
    "before", [pytest.param(False, id="after"), pytest.param(True, id="before", marks=pytest.mark.slow)]
)
def test_training_killed_at_any_write_ends_bit_equal(before: bool, cli: CommandLine, children: Nursery) -> None:
    assert cli(*TRAIN, "whole").exit_code == 0
    whole = Run(Path("whole"))
    trials = 0
    while children.killed_at(trials + 1, *TRAIN, "killed", before=before):
        trials += 1
        run = Run(Path("killed"))
        if not run.record_path.exists():
            result = cli(*TRAIN, "killed")
        elif run.read().status == "training":
            result = cli("train", "--resume", "--out", "killed")
        else:
            result = cli("export", "killed", "--format", "onnx")
        assert result.exit_code == 0, (trials, result.output)
        assert run.weights_path.read_bytes() == whole.weights_path.read_bytes()
        np.testing.assert_array_equal(losses(run), losses(whole))
        assert run.curves_path.read_bytes()[:4] == b"\x89PNG"
        assert not run.checkpoint_path.exists()
        assert not left_over(run.folder)
        assert cli("verify", "--run", "killed").exit_code == (0 if run.export_folder.exists() else 1)
        shutil.rmtree("killed")
    assert trials > 10


@pytest.mark.slow
@pytest.mark.parametrize("before", [False, True])
def test_export_killed_at_any_write_is_repeated(
    before: bool,
    cli: CommandLine,
    digits_run: Run,
    children: Nursery,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing half is left, and the next export leaves the files and nothing else, in the temporary folder too."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    options = ("export", digits_run.folder, "--format", "onnx", "--format", "torchscript", "--int8", "--out")
    assert cli(*options, "whole").exit_code == 0
    whole = {path.name: path.read_bytes() for path in Path("whole").iterdir()}
    trials = 0
    while children.killed_at(trials + 1, *options, "killed", before=before):
        trials += 1
        for path in (path for path in Path("killed").glob("*") if path.name in whole):
            assert path.read_bytes() == whole[path.name] or path.name.startswith(("README", "lenet-edge-manifest"))
        assert cli(*options, "killed").exit_code == 0
        assert {path.name: path.read_bytes() for path in Path("killed").iterdir()} == whole
        assert not list(temporary.iterdir())
        shutil.rmtree("killed")
    assert trials > 4


def test_what_a_killed_predict_left_is_swept_by_the_next(cli: CommandLine, digits_run: Run, children: Nursery) -> None:
    from PIL import Image

    from trained_runs import exported

    Image.new("L", (28, 28)).save("image.png")
    command = ("predict", exported(digits_run, "onnx"), "image.png", "--out", "answers.csv")
    # Python itself may remove a file before: it tries out where temporary files may lie.
    assert any(children.killed_at(number, *command, before=True) and left_over(Path()) for number in (1, 2, 3))
    assert cli(*command).exit_code == 0
    assert not left_over(Path())


def test_a_living_process_keeps_its_temporary_files(tmp_path: Path) -> None:
    from lenet_edge_exporters import atomic

    with atomic.staged(tmp_path / "one") as first, atomic.staged(tmp_path / "two") as second:
        first.write_text("1")
        second.write_text("2")
        atomic.sweep(tmp_path)
    assert (tmp_path / "one").read_text() + (tmp_path / "two").read_text() == "12"


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("before", [True, False])
def test_folder_whose_writing_is_killed_keeps_its_users_files(number: int, before: bool, tmp_path: Path) -> None:
    from lenet_edge_exporters import atomic

    folder = tmp_path / "net-c"
    atomic.write_folder(folder, {"lenet.c": b"first"})
    (folder / "main.c").write_bytes(b"mine")
    killed_at(number, lambda: atomic.write_folder(folder, {"lenet.c": b"second"}), before=before)
    atomic.sweep(tmp_path)
    assert (folder / "main.c").read_bytes() == b"mine"
    assert (folder / "lenet.c").read_bytes() in (b"first", b"second")
    assert [path.name for path in tmp_path.iterdir()] == ["net-c"]
