"""`--calibrate`: weights from elsewhere that are too sure, or not sure enough, against a calibration error in NumPy."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax

from command_line import CommandLine
from lenet_edge.artefacts.exporting import export_run
from lenet_edge.artefacts.import_candidates import Said
from lenet_edge.artefacts.importing import import_weights
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.recipes import RECIPES
from lenet_edge.runs.opened import OpenedRun, open_run
from lenet_edge.runs.run import Run
from lenet_edge_exporters import open_file
from lenet_edge_runtime import ModelSpec


def calibration_error(logits: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error of Naeini et al. 2015: 15 bins of equal width."""
    probabilities = softmax(logits.astype(np.float64), axis=1)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    edges = np.linspace(0, 1, 16)
    bins = [(low < confidence) & (confidence <= high) for low, high in pairwise(edges)]
    return sum(abs(right[inside].mean() - confidence[inside].mean()) * inside.mean() for inside in bins if inside.any())


def stretched(original: Run, factor: float, path: Path) -> Path:
    """The weights of a run that was calibrated when it was trained, with its logits multiplied by `factor`."""
    state = open_run(original).net.state_dict()
    last = {f"layers.output.{name}" for name in ("weight", "bias")}
    torch.save({name: values * factor if name in last else values for name, values in state.items()}, path)
    return path


def imported(path: Path, data: ImageData, original: Run, *, calibrate: bool, out: Path) -> OpenedRun:
    spec = original.read().spec
    said = Said("relu", "max", "before", spec.mean, spec.std, accept_accuracy=True, calibrate=calibrate)
    return open_run(import_weights(path, data, RECIPES["lenet5"], said, out).run)


@pytest.fixture(scope="module")
def hard(digits: ImageData) -> ImageData:
    """The digits under noise, half of the training images to validate on: two answers in five are wrong."""
    generator = np.random.default_rng(0)
    train, test = (
        (pixels + generator.normal(0, 180, pixels.shape)).clip(0, 255).astype(np.uint8)
        for pixels in (digits.train_pixels, digits.test_pixels)
    )
    return replace(digits, train_pixels=train, test_pixels=test, validation_images=600)


@pytest.mark.parametrize("factor", [3.0, 0.3])
def test_calibrated_weights_are_as_sure_as_the_original(
    factor: float, digits_run: Run, hard: ImageData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The logits of the original, which is calibrated on these images too, come out of its stretched weights."""
    found = {}
    for name, times, calibrate in (("original", 1.0, True), ("as they are", factor, False), ("ours", factor, True)):
        path = stretched(digits_run, times, tmp_path / f"{name}.pth")
        found[name] = imported(path, hard, digits_run, calibrate=calibrate, out=tmp_path / name)
        assert ("divided by the temperature" in capsys.readouterr().err) is calibrate
    records = {name: opened.record for name, opened in found.items()}
    logits = {name: opened.model.logits(hard.test_pixels) for name, opened in found.items()}
    assert records["as they are"].spec.threshold is None
    assert "temperature" not in records["as they are"].metrics
    ratio = records["ours"].metrics["temperature"] / records["original"].metrics["temperature"]
    assert ratio == pytest.approx(factor, rel=1e-3)
    assert records["ours"].spec.threshold == pytest.approx(records["original"].spec.threshold, rel=1e-3)
    np.testing.assert_allclose(logits["ours"], logits["original"], rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(logits["ours"].argmax(1), logits["as they are"].argmax(1))
    errors = {name: calibration_error(rows, hard.test_labels) for name, rows in logits.items()}
    assert errors["ours"] == pytest.approx(errors["original"], abs=1e-3)
    assert errors["ours"] < 0.5 * errors["as they are"], errors


def test_files_of_calibrated_weights_agree(digits_run: Run, digits: ImageData, tmp_path: Path, c_folder: Path) -> None:
    """`c_folder` skips where nothing compiles C."""
    path = stretched(digits_run, 3, tmp_path / "weights.pth")
    found = imported(path, digits, digits_run, calibrate=True, out=tmp_path / "run")
    report = export_run(found, ["onnx", "int8", "c"], max_drop_pp=100)
    expected = found.model.logits(digits.test_pixels)
    logits = {}
    for artifact in report.artifacts:
        _, model = open_file(artifact.path)
        assert ModelSpec.from_metadata(model.metadata) == found.record.spec
        logits[artifact.format] = model.logits(digits.test_pixels)
    np.testing.assert_allclose(logits["onnx"], expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(logits["c"], logits["int8"])
    assert (logits["int8"].argmax(1) == expected.argmax(1)).mean() > 0.98
    original = calibration_error(open_run(digits_run).model.logits(digits.test_pixels), digits.test_labels)
    assert calibration_error(logits["int8"], digits.test_labels) == pytest.approx(original, abs=0.01)
    card = report.model_card.read_text(encoding="utf-8")
    assert f"divided by the temperature {found.record.metrics['temperature']}" in card
    assert "which whoever trained the weights may have trained on" in card
    untouched = imported(path, digits, digits_run, calibrate=False, out=tmp_path / "untouched")
    assert "temperature" not in export_run(untouched, ["onnx"]).model_card.read_text(encoding="utf-8")


def test_test_images_are_not_looked_at(digits_run: Run, digits: ImageData, tmp_path: Path) -> None:
    path = stretched(digits_run, 3, tmp_path / "weights.pth")
    blank = replace(digits, test_pixels=digits.test_pixels * 0, test_labels=digits.test_labels * 0)
    found = [
        imported(path, data, digits_run, calibrate=True, out=tmp_path / name).record
        for name, data in (("own", digits), ("blank", blank))
    ]
    assert found[0].spec == found[1].spec
    assert found[0].metrics == found[1].metrics


PROGRAM = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.output, self.first = nn.Linear(20, 10), nn.Linear(28 * 28, 20)
        nn.init.normal_(self.output.weight, std=9)

    def forward(self, x):
        return {ending}
"""


@pytest.fixture
def program(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("lenet_edge.networks.own._given", {})
    monkeypatch.setattr("lenet_edge.networks.own._arguments", {})
    return cli.folder / "mynet.py"


def test_own_network_is_calibrated_in_the_layer_that_answers(program: Path, cli: CommandLine) -> None:
    program.write_text(PROGRAM.format(ending="self.output(self.first(x.flatten(1)).relu())"), encoding="utf-8")
    given = ("export", "--net", "mynet.py:Net", "--dataset", "digits", "--format", "onnx", "--max-drop", "100")
    result = cli(*given, "--calibrate")
    assert result.exit_code == 0, result.output
    record = open_run(Run(cli.folder / "runs" / "Net-digits-imported-1")).record
    assert record.metrics["temperature"] > 1.5  # nobody trained it, and its logits are large
    assert record.spec.threshold is not None


def test_what_cannot_be_calibrated_is_one_line(program: Path, cli: CommandLine, digits_run: Run) -> None:
    program.write_text(PROGRAM.format(ending="self.output(self.first(x.flatten(1))) ** 3"), encoding="utf-8")
    message = cli.fails("export", "--net", "mynet.py:Net", "--dataset", "digits", "--calibrate")
    assert "no layer of this network gives its logits" in message
    assert "leave --calibrate out" in message
    assert not (cli.folder / "runs").exists()
    for source in ((digits_run.folder,), ("pretrained:mnist",), ("--net", "mynet.py:Net"), ()):
        result = cli("export", *source, "--calibrate")
        assert result.exit_code == 2
        assert "and not with a run" in " ".join(result.stderr.replace("│", " ").split()), source
    stretched(digits_run, 3, cli.folder / "weights.pth")
    result = cli("export", "weights.pth", "--calibrate")
    assert result.exit_code == 2
    assert "say what it is for, by --dataset" in result.stderr
