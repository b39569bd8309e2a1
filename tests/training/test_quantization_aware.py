"""Fake quantization: it computes what the int8 file computes, passes gradients, and makes runs like any other."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from command_line import CommandLine
from lenet_edge.artefacts.exporting import export_job, export_run
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.architectures import LeNetConfig
from lenet_edge.networks.models import LeNet5
from lenet_edge.runs import checkpoints
from lenet_edge.runs.opened import open_run
from lenet_edge.runs.record import FakeQuantization
from lenet_edge.runs.reference import float_model, run_model
from lenet_edge.runs.run import Run
from lenet_edge.training import quantization_aware
from lenet_edge.training.fine_tuning import find_source, start_fine_tuning
from lenet_edge.training.quantization_aware import FakeQuantized, fake_quantize, fold_batch_norm, weight_steps
from lenet_edge.training.trainer import logits_of
from lenet_edge.training.training import train
from lenet_edge.training.watcher import TrainingStopped, Watcher
from lenet_edge_exporters import ExportJob, int8
from lenet_edge_exporters.onnx import load
from lenet_edge_runtime.errors import RunError, TrainingError
from lenet_edge_runtime.sessions import sha256_of
from stopping import StopAfter
from trained_runs import exported, small_digits

EPOCHS = 2


@pytest.fixture(scope="session")
def qat_run(tmp_path_factory: pytest.TempPathFactory, digits_run: Run, digits: ImageData) -> Run:
    """The digits run, fine-tuned and exported as int8. Read-only for tests."""
    return fine_tuned(digits_run, digits, tmp_path_factory.mktemp("qat") / "lenet5-digits-qat-1")


@pytest.fixture(scope="session")
def classic_qat_run(tmp_path_factory: pytest.TempPathFactory, classic_run: Run, digits: ImageData) -> Run:
    """The same of the tanh and average-pooling net."""
    return fine_tuned(classic_run, digits, tmp_path_factory.mktemp("qat") / "lenet5-classic-digits-qat-1")


RUNS = pytest.mark.parametrize(("fixture", "source"), [("qat_run", "digits_run"), ("classic_qat_run", "classic_run")])


def fine_tuned(source: Run, data: ImageData, folder: Path) -> Run:
    run = started(source, data, folder)
    train(run, data, Watcher(), resume=True)
    export_run(open_run(run), ["onnx", "int8"], max_drop_pp=100)
    return run


def started(source: Run, data: ImageData, folder: Path, **options: float) -> Run:
    return start_fine_tuning(open_run(source), data, out=folder, epochs=EPOCHS, device="cpu", threads=1, **options)  # type: ignore[arg-type]


def fake_net(run: Run) -> FakeQuantized:
    """A finished run's network as it was trained: with fake quantization, in evaluation mode."""
    record = run.read()
    net = LeNet5(record.recipe.model)
    checkpoints.load_weights(run.weights_path, net)
    fake = FakeQuantized(net, record.spec)
    assert record.quantization is not None
    fake.largest.copy_(torch.tensor([greatest for _, greatest in record.quantization.activation_ranges]))
    return fake.eval()


# --- the arithmetic ------------------------------------------------------------------------------------------------


@RUNS
def test_forward_is_that_of_the_int8_file(
    fixture: str, source: str, digits: ImageData, request: pytest.FixtureRequest
) -> None:
    run = request.getfixturevalue(fixture)
    expected = load(exported(run, "int8")).logits(digits.test_pixels)
    found = logits_of(fake_net(run), run.read().spec, torch.tensor(digits.test_pixels)).numpy()
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.999
    # A sum that float32 puts on the other side of a tie moves one code by one step; hardly any row has one.
    assert np.quantile(np.abs(found - expected).max(1), 0.95) < 1e-4 * np.abs(expected).max()
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


@RUNS
def test_weights_and_scales_are_those_of_the_int8_file(
    fixture: str, source: str, digits: ImageData, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = request.getfixturevalue(fixture)
    graph = int8.plain_graph(export_job(open_run(run))).graph  # before it is laid out for onnxruntime
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    net, found = fake_net(run), []

    def seen(*given: Any) -> torch.Tensor:
        found.append(weight_steps(*given))
        return found[-1]

    monkeypatch.setattr(quantization_aware, "weight_steps", seen)
    logits_of(net, run.read().spec, torch.tensor(digits.test_pixels[:1]))
    for name, steps in zip(("c3.0", "c5.0", "f6.0", "output"), found[1:], strict=True):
        weight = net.net.layers.get_submodule(name).weight.detach()
        stem = next(key.removesuffix(".q8") for key in arrays if key.endswith(f"{name}.weight.q8"))
        np.testing.assert_array_equal(steps.flatten().numpy(), arrays[f"{stem}.s"])
        codes = torch.round(fake_quantize(weight, steps, 128) / steps)
        np.testing.assert_array_equal(codes.numpy(), arrays[f"{stem}.q8"])


@pytest.mark.parametrize("zero_point", [0, 127, 128])
def test_fake_quantize_is_quantize_and_dequantize(zero_point: int) -> None:
    values = torch.linspace(-3, 5, 1001)
    step = torch.tensor(0.0125)
    codes = np.clip(np.rint(values.numpy() / step.numpy()) + zero_point, 0, 255)
    np.testing.assert_array_equal(fake_quantize(values, step, zero_point).numpy(), (codes - zero_point) * step.numpy())


def test_gradient_passes_straight_through_and_stops_where_it_clips() -> None:
    values = torch.tensor([-1.0, 0.101, 2.54, 3.0], requires_grad=True)
    fake_quantize(values, torch.tensor(0.01), 0).backward(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert values.grad is not None
    assert values.grad.tolist() == [0, 2, 3, 0]


def test_greatest_weights_keep_their_gradient() -> None:
    weight = torch.tensor([[0.7, -0.7, 0.1], [0.0, 0.0, 0.0]], requires_grad=True)
    rounded = fake_quantize(weight, weight_steps(weight, weight.shape[1:]), 128)
    rounded.sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert (rounded[1] == 0).all()  # a dead channel has no range


def test_every_parameter_learns(qat_run: Run, digits: ImageData) -> None:
    net = fake_net(qat_run).train()
    images = torch.rand(32, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 4 - 1
    torch.nn.functional.cross_entropy(net(images), torch.arange(32) % 10).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in net.parameters())


@pytest.mark.parametrize("channels", [1, 3])
def test_folding_batch_norm_changes_nothing(channels: int) -> None:
    torch.manual_seed(0)
    net = LeNet5(LeNetConfig("relu", "max", batch_norm=True, channels=channels))
    images = torch.randn(64, channels, 32, 32)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
    net.train()(images)  # gives the running statistics values of their own
    folded = fold_batch_norm(net.eval())
    assert not any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(folded(images), net(images), rtol=1e-4, atol=1e-4)


# --- the runs ------------------------------------------------------------------------------------------------------


@RUNS
def test_the_run_is_whole_and_knows_its_source(fixture: str, source: str, request: pytest.FixtureRequest) -> None:
    run, before = request.getfixturevalue(fixture), request.getfixturevalue(source)
    record = run.read()
    assert record.status == "finished"
    assert record.metrics["parameters"] == 61_706
    assert not record.recipe.model.batch_norm
    assert record.seed == before.read().seed
    assert record.quantization is not None
    assert record.quantization.source_weights_sha256 == sha256_of(before.weights_path)
    assert record.quantization.source_test_accuracy == before.read().metrics["test_accuracy"]
    assert len(record.quantization.activation_ranges) == 4
    assert record.metrics["test_accuracy"] >= before.read().metrics["test_accuracy"] - 0.01


def test_files_are_measured_against_the_network_before(qat_run: Run, digits_run: Run, digits: ImageData) -> None:
    pixels = digits.test_pixels
    before = run_model(digits_run).logits(pixels)
    np.testing.assert_allclose(float_model(qat_run, qat_run.read()).logits(pixels), before, atol=1e-4)
    assert np.abs(run_model(qat_run).logits(pixels) - before).max() > 1e-3
    card = json.loads(load(exported(qat_run, "int8")).metadata["lenet_edge.card"])
    assert card["pytorch_accuracy"] == digits_run.read().metrics["test_accuracy"]


@RUNS
def test_int8_uses_the_learned_ranges(fixture: str, source: str, request: pytest.FixtureRequest) -> None:
    run = request.getfixturevalue(fixture)
    record = run.read()
    path = exported(run, "int8")
    graph = onnx.load(path).graph
    scales = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    assert json.loads(load(path).metadata["lenet_edge.calibration"]) == {"method": "qat"}
    if record.recipe.model.activation == "relu":
        assert record.quantization is not None
        names = ("relu.s", "relu_1.s", "relu_2.s", "relu_3.s")
        found = [float(scales[name]) * 255 for name in names]
        assert found == pytest.approx([greatest for _, greatest in record.quantization.activation_ranges])


def test_int8_agrees_no_less_with_the_trained_network_than_calibrated(qat_run: Run, digits: ImageData) -> None:
    """Against the network as it was trained; post-training calibration of the same weights is the rival."""
    record = qat_run.read()
    net = fake_net(qat_run)
    expected = logits_of(net, record.spec, torch.tensor(digits.test_pixels)).numpy()
    job = ExportJob(net.net, record.spec, digits.train_pixels[:500], digits.train_pixels[:500])
    calibrated = qat_run.folder / "calibrated.int8.onnx"
    calibrated.write_bytes(int8.export(job))
    differences = [
        np.abs(load(path).logits(digits.test_pixels) - expected).mean()
        for path in (exported(qat_run, "int8"), calibrated)
    ]
    calibrated.unlink()
    assert differences[0] < 0.1 * differences[1]


def test_wrong_number_of_ranges_is_refused(digits_run: Run, digits: ImageData) -> None:
    net = LeNet5(LeNetConfig("relu", "max")).eval()
    pixels = digits.train_pixels[:8]
    job = ExportJob(net, digits_run.read().spec, pixels, pixels, activation_ranges=((0.0, 1.0),))
    with pytest.raises(ValueError, match="5 layers need 4 activation ranges, got 1"):
        int8.export(job)


def test_same_seed_gives_same_bytes_and_the_source_stays(digits_run: Run, digits: ImageData, tmp_path: Path) -> None:
    data = small_digits(digits, 300)
    before = {path.name: sha256_of(path) for path in digits_run.folder.iterdir() if path.is_file()}
    runs = [started(digits_run, data, tmp_path / name) for name in ("one", "two")]
    for run in runs:
        train(run, data, Watcher(), resume=True)
    first, again = runs
    assert first.weights_path.read_bytes() == again.weights_path.read_bytes()
    assert first.read().quantization == again.read().quantization
    assert {path.name: sha256_of(path) for path in digits_run.folder.iterdir() if path.is_file()} == before


def test_resuming_is_bit_exact(digits_run: Run, digits: ImageData, tmp_path: Path) -> None:
    data = small_digits(digits, 600)
    straight, stopped = (started(digits_run, data, tmp_path / name, batch_size=64) for name in ("straight", "stopped"))
    train(straight, data, Watcher(), resume=True)
    with pytest.raises(TrainingStopped, match="1 of 2 epochs are kept"):
        train(stopped, data, StopAfter(1), resume=True)
    train(stopped, data, Watcher(), resume=True)
    assert stopped.weights_path.read_bytes() == straight.weights_path.read_bytes()
    assert stopped.read().quantization == straight.read().quantization


def test_record_survives_json(qat_run: Run) -> None:
    record = qat_run.read()
    assert type(record).from_json(record.to_json()) == record
    unfinished = replace(record, quantization=FakeQuantization("0" * 64, None))
    assert type(record).from_json(unfinished.to_json()) == unfinished


def test_too_high_learning_rate_is_noticed(digits_run: Run, digits: ImageData, tmp_path: Path) -> None:
    run = started(digits_run, digits, tmp_path / "run", learning_rate=1e12)
    with pytest.raises(TrainingError, match="try a lower --lr than 1e"):
        train(run, digits, Watcher(), resume=True)


def test_fine_tuned_run_is_no_source(qat_run: Run) -> None:
    with pytest.raises(RunError, match=r"fine-tuned with fake quantization already; name the run .* by --from RUN"):
        find_source(qat_run.folder)


# --- the command line ----------------------------------------------------------------------------------------------


def test_train_qat_export_verify(cli: CommandLine) -> None:
    trained = cli("train", "--dataset", "digits", "--epochs", "12", "--threads", "1", "--json")
    assert trained.exit_code == 0, trained.output
    tuned = cli("train", "--qat", "--epochs", "1", "--threads", "1", "--json")
    assert tuned.exit_code == 0, tuned.output
    document = json.loads(tuned.stdout)
    assert document["run"] == "runs/lenet5-digits-qat-1"
    assert document["parameters"] == 61_706
    assert document["epochs"] == 1
    for name in ("weights.safetensors", "source.safetensors", "history.csv", "curves.png", "run.json"):
        assert (cli.folder / document["run"] / name).is_file()
    files = cli("export", "--int8", "--max-drop", "100", "--json")
    assert files.exit_code == 0, files.output
    assert json.loads(files.stdout)["run"] == document["run"]
    verified = cli("verify", "--max-drop", "100", "--json")
    assert verified.exit_code == 0, verified.output
    assert json.loads(verified.stdout)["reference"]["accuracy"] == json.loads(trained.stdout)["test_accuracy"]


def test_qat_needs_a_finished_run(cli: CommandLine) -> None:
    assert "there is no finished run in runs/; start one with 'lenet-edge train'" in cli.fails("train", "--qat")
    assert "no run.json" in cli.fails("train", "--qat", "--from", "nowhere")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--qat", "lenet5"], "--qat takes recipe from the run; leave it out"),
        (["--qat", "--seed", "1"], "--qat takes seed from the run; leave it out"),
        (["--from", "runs/one"], "--from goes with --qat"),
    ],
)
def test_usage_errors(arguments: list[str], message: str, cli: CommandLine) -> None:
    result = cli("train", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())
