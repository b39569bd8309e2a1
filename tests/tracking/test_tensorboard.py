"""`--tensorboard`: what TensorBoard's own reader finds, against the run's records and images."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from command_line import CommandLine
from lenet_edge.data.image_data import ImageData
from lenet_edge.evaluation.evaluation import evaluate
from lenet_edge.networks.recipes import find_recipe
from lenet_edge.runs.history import Epoch, read_history
from lenet_edge.runs.reference import run_model
from lenet_edge.runs.run import Run
from lenet_edge.tracking.confusion import as_pixels, draw_confusion
from lenet_edge.training.training import complete, start_run
from lenet_edge.training.watcher import TrainingStopped
from lenet_edge_exporters import manifest
from stopping import StopAfter

pytest.importorskip("tensorboard", reason="tensorboard (extra `tensorboard`) is not installed")
SHORT = ("--dataset", "digits", "--epochs", "2", "--device", "cpu", "--threads", "1")


def read(run: Run) -> Any:
    """The one file of the run, read by TensorBoard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (path,) = (run.folder / "tensorboard").iterdir()
    found = EventAccumulator(str(path), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    return found.Reload()


def figures(found: Any, name: str) -> list[tuple[int, float]]:
    return [(item.step, item.value) for item in found.Scalars(name)]


def columns(history: list[Epoch], name: str) -> list[tuple[int, float]]:
    return [(row.epoch, pytest.approx(getattr(row, name))) for row in history]


@pytest.fixture
def run(cli: CommandLine) -> Run:
    return trained(cli, "run", "--tensorboard")


def trained(cli: CommandLine, folder: str, *options: str) -> Run:
    result = cli("train", "lenet5-classic", *SHORT, "--out", folder, *options)
    assert result.exit_code == 0, result.output
    return Run(Path(folder))


def test_what_is_read_is_what_the_run_says(run: Run, digits: ImageData, cli: CommandLine) -> None:
    found, record, history = read(run), run.read(), read_history(run)
    assert figures(found, "loss/train") == columns(history, "train_loss")
    assert figures(found, "loss/validation") == columns(history, "val_loss")
    assert figures(found, "accuracy/train") == columns(history, "train_accuracy")
    assert figures(found, "accuracy/validation") == columns(history, "val_accuracy")
    assert figures(found, "learning_rate") == columns(history, "learning_rate")
    for name, value in record.metrics.items():
        assert figures(found, f"final/{name}") == [(2, pytest.approx(value))]
    (shown,) = found.Images("images/training")
    tile = np.array(Image.open(io.BytesIO(shown.encoded_image_string)))[:28, :28]
    assert np.array_equal(tile, np.repeat(digits.train_pixels[0, 0][:, :, None], 3, 2))
    (said,) = found.Tensors("parameters/text_summary")
    assert f"seed: {record.seed}" in said.tensor_proto.string_val[0].decode()
    scored = evaluate(run_model(run), record.spec, digits, name="", format_name="", mistakes=32)
    (mistakes,) = found.Tensors("mistakes/text_summary")
    lines = mistakes.tensor_proto.string_val[0].decode().splitlines()
    assert [line.split(":")[0].strip() for line in lines] == [f"no. {item.index}" for item in scored.mistakes]
    (matrix,) = found.Images("confusion_matrix")
    drawn = as_pixels(draw_confusion(scored.confusion_matrix, digits.labels))
    assert np.array_equal(np.array(Image.open(io.BytesIO(matrix.encoded_image_string))), drawn)
    (path,) = (run.folder / "tensorboard").iterdir()
    assert str(Path.cwd()).encode() not in path.read_bytes()
    assert not [name for name in manifest.read(run.folder) if "tensorboard" in name]  # a log, not an artefact
    assert trained(cli, "without").weights_path.read_bytes() == run.weights_path.read_bytes()


def test_a_resumed_training_has_each_epoch_once(cli: CommandLine, digits: ImageData) -> None:
    run = start_run(find_recipe("lenet5-classic"), digits, Path("run"), device="cpu", threads=1, epochs=3)
    with pytest.raises(TrainingStopped):
        complete(run, digits, StopAfter(1), resume=False)
    assert cli("train", "--resume", "--out", "run", "--tensorboard").exit_code == 0
    assert figures(read(run), "accuracy/validation") == columns(read_history(run), "val_accuracy")


def test_compare_writes_of_each_run_once(cli: CommandLine) -> None:
    command = ("compare", "lenet5-classic", "--seeds", "2", *SHORT)
    first = cli(*command, "--json")
    assert cli(*command, "--tensorboard", "--json").stdout == first.stdout.replace('"reused": false', '"reused": true')
    paths = sorted(Path("studies/digits/runs").glob("*/tensorboard/*"))
    assert [path.parts[3] for path in paths] == ["lenet5-classic-digits-seed0", "lenet5-classic-digits-seed1"]
    for path, row in zip(paths, json.loads(first.stdout)["runs"], strict=True):
        assert figures(read(Run(path.parents[1])), "final/test_accuracy") == [(2, pytest.approx(row["test_accuracy"]))]
    cli(*command, "--tensorboard")
    assert sorted(Path("studies/digits/runs").glob("*/tensorboard/*")) == paths


def test_a_confusion_matrix_shows_its_numbers() -> None:
    matrix = [[3, 0, 1], [0, 5, 0], [2, 0, 0]]
    figure = draw_confusion(matrix, ["a", "$b$ \\frac", "\u5b57"])
    (axes,) = figure.axes
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {
        ((0, 0), "3"), ((2, 0), "1"), ((1, 1), "5"), ((0, 2), "2"),
    }  # fmt: skip
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "$b$ \\frac", "\u5b57"]
    assert np.allclose(axes.images[0].get_array(), [[0.75, 0, 0.25], [0, 1, 0], [1, 0, 0]])
    assert as_pixels(figure).shape == (500, 500, 3)
    assert not draw_confusion([[0] * 47] * 47, [str(number) for number in range(47)]).axes[0].texts
