"""Another tool's float ONNX file through the formats made of ONNX, against onnxruntime on that file as it came."""

import contextlib
import io
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch import Tensor, nn

from command_line import CommandLine
from lenet_edge.artefacts.foreign_file import data_for, import_file
from lenet_edge.data.image_data import ImageData
from lenet_edge.evaluation.foreign_accuracy import labels_in
from lenet_edge.runs.finding import find_run
from lenet_edge.runs.opened import open_run
from lenet_edge_exporters import open_file
from lenet_edge_runtime.errors import LenetEdgeError


@dataclass(frozen=True)
class Form:
    """How a stranger wrote and exported the net."""

    shape: tuple[int, ...] = (1, 28, 28)
    end: str = "none"
    mean: float = 0.1307
    std: float = 0.3081
    batch: bool = True  # open
    dtype: torch.dtype = torch.float32  # of the input; onnxruntime has no convolution of doubles

    @property
    def options(self) -> tuple[str, ...]:
        return ("--mean", str(self.mean), "--std", repr(self.std))


FORMS = {
    "logits": Form(),
    "softmax": Form(end="softmax", mean=0.5, std=0.5),
    "log_softmax, raw pixels": Form(end="log_softmax", mean=0.0, std=1 / 255),
    "one image": Form(batch=False, end="softmax"),
    "flat": Form(shape=(784,), end="log_softmax"),
    "without channels": Form(shape=(28, 28)),
    "channels last": Form(shape=(28, 28, 1), end="softmax"),
    "double": Form(dtype=torch.float64, end="softmax"),
    "float16": Form(dtype=torch.float16),
}


class Theirs(nn.Module):
    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form
        self.first = nn.Conv2d(1, 6, 5, stride=2, padding=2)
        self.norm = nn.BatchNorm2d(6)
        self.output = nn.Linear(6 * 7 * 7, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = images.reshape(images.shape[0], 1, 28, 28).to(self.first.weight.dtype)
        x = F.max_pool2d(F.relu(self.norm(self.first(x))), 2)
        x = self.output(x.view(x.size(0), -1))
        return x if self.form.end == "none" else getattr(F, self.form.end)(x, 1)


@pytest.fixture(scope="module")
def trained(digits: ImageData) -> dict[str, Tensor]:
    """Weights for pixels in [0, 1], which each form's normalisation is undone for in the first layer's scale."""
    torch.manual_seed(0)
    net = Theirs(FORMS["logits"])
    images = fed(digits.train_pixels, FORMS["logits"])
    labels = torch.from_numpy(digits.train_labels)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(12):
        for part in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(net(images[part]), labels[part]).backward()
            optimizer.step()
    return net.eval().state_dict()


def fed(pixels: NDArray[np.uint8], form: Form) -> Tensor:
    images = (torch.from_numpy(pixels).double() / 255 - form.mean) / form.std
    return images.reshape(-1, *form.shape).to(form.dtype)


def theirs(weights: dict[str, Tensor], form: Form, path: Path) -> None:
    net = Theirs(form)
    net.load_state_dict(weights)
    with torch.no_grad():  # BatchNorm's mean and variance take up the other normalisation
        base = FORMS["logits"]
        scale, shift = form.std / base.std, (form.mean - base.mean) / base.std
        net.first.bias += net.first.weight.sum((1, 2, 3)) * shift
        net.first.weight *= scale
    net = net.eval()
    if form.dtype == torch.float16:
        net = net.half()
    example = torch.zeros(2 if form.batch else 1, *form.shape, dtype=form.dtype)
    axes = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)} if form.batch else {}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (example,), path, dynamo=True, external_data=False, verbose=False, **axes)


def answers(path: Path, images: NDArray[np.generic]) -> NDArray[np.int64]:
    """The oracle: onnxruntime on the stranger's file, image by image."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.array([int(session.run(None, {name: images[i : i + 1]})[0].argmax()) for i in range(len(images))])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "one image" else pytest.mark.slow) for name in FORMS]
)
def test_files_answer_like_the_original(
    name: str, trained: dict[str, Tensor], cli: CommandLine, digits: ImageData
) -> None:
    form = FORMS[name]
    path = cli.folder / "theirs.onnx"
    theirs(trained, form, path)
    done = cli("export", path, "--dataset", "digits", *form.options, "--format", "onnx", "--int8", "--json")
    assert done.exit_code == 0, done.output
    original = answers(path, fed(digits.test_pixels, form).numpy())
    assert (original == digits.test_labels).mean() > 0.9
    found = {item["format"]: Path(item["path"]) for item in json.loads(done.stdout)["artifacts"]}
    for format_name, least in (("onnx", 0.997), ("int8", 0.98)):
        logits = open_file(found[format_name])[1].logits(digits.test_pixels)
        assert (logits.argmax(1) == original).mean() >= least


@pytest.mark.slow
def test_every_command_takes_the_run(trained: dict[str, Tensor], cli: CommandLine, digits: ImageData) -> None:
    theirs(trained, FORMS["softmax"], cli.folder / "theirs.onnx")
    Image.fromarray(digits.test_pixels[0, 0]).save(cli.folder / "digit.png")
    few = ("--rounds", "2", "--calls", "5")
    said = {}
    for command in (
        ("export", "theirs.onnx", "--dataset", "digits", *FORMS["softmax"].options, "--int8"),
        ("export", "--format", "ort", "--input", "float32"),
        ("verify", "--run", "runs/theirs-digits-imported-1"),
        ("evaluate",),
        ("bench", *few),
        ("report", *few),
        ("predict", "digit.png"),
        ("info", "runs/theirs-digits-imported-1/export/theirs-digits.int8.onnx"),
    ):
        result = cli(*command)
        assert result.exit_code == 0, result.output
        said[command[0]] = " ".join(result.output.split())
    report = (cli.folder / "runs" / "theirs-digits-imported-1" / "report.html").read_text(encoding="utf-8")
    card = (cli.folder / "runs" / "theirs-digits-imported-1" / "export" / "README.md").read_text(encoding="utf-8")
    for text in (said["export"], said["verify"], report, card):
        assert "original ONNX file" in text
        assert "PyTorch" not in text
    assert "there is no PyTorch model to time" in said["bench"]
    assert "-1 (foreign)" in said["evaluate"]


@pytest.mark.slow
def test_normalisation_is_found_on_training_images(trained: dict[str, Tensor], cli: CommandLine) -> None:
    theirs(trained, FORMS["log_softmax, raw pixels"], cli.folder / "theirs.onnx")
    done = cli("export", "theirs.onnx", "--dataset", "digits")
    assert done.exit_code == 0, done.output
    assert "--scale 255" in done.stderr
    (run,) = (cli.folder / "runs").iterdir()
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["spec"]["std"] == [1 / 255]


def test_wrong_normalisation_is_stopped(trained: dict[str, Tensor], cli: CommandLine) -> None:
    theirs(trained, FORMS["log_softmax, raw pixels"], cli.folder / "theirs.onnx")
    message = cli.fails("export", "theirs.onnx", "--dataset", "digits", "--scale", "1", code=3)
    assert "--accept-accuracy" in message


def test_formats_of_pytorch_are_refused(trained: dict[str, Tensor], cli: CommandLine) -> None:
    theirs(trained, FORMS["logits"], cli.folder / "theirs.onnx")
    message = cli.fails("export", "theirs.onnx", "--dataset", "digits", "--format", "pt2")
    assert "pt2: made of a network in PyTorch" in message


def test_data_set_has_to_be_named(trained: dict[str, Tensor], cli: CommandLine) -> None:
    theirs(trained, FORMS["logits"], cli.folder / "theirs.onnx")
    for added in ([], ["--web", "page"]):
        result = cli("export", "theirs.onnx", *added)
        assert result.exit_code == 2
        assert "--dataset" in result.stderr
    assert not (cli.folder / "page").exists()


ORDER = [3, 1, 2, 0, 4, 5, 6, 7, 8, 9]


def rewritten(path: Path, *, order: list[int] | None = None, names: object = None) -> None:
    """Put the classes of a stranger's file in another order, or list them in its metadata."""
    model = onnx.load(path)
    for item in model.graph.initializer if order else []:
        if item.name.startswith("output."):
            item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item)[order], item.name))
    if names:
        helper.set_model_props(model, {"names": str(names)})
    onnx.save(model, path)


def test_classes_in_another_order_are_put_in_the_datas(
    trained: dict[str, Tensor], cli: CommandLine, digits: ImageData
) -> None:
    form, path = FORMS["logits"], cli.folder / "theirs.onnx"
    theirs(trained, form, path)
    rewritten(path, order=ORDER, names={place: str(digit) for place, digit in enumerate(ORDER)})
    found = open_run(import_file(path, digits, mean=(form.mean,), std=(form.std,)))
    assert found.record.spec.labels == digits.labels
    original = np.array(ORDER)[answers(path, fed(digits.test_pixels[:200], form).numpy())]
    np.testing.assert_array_equal(found.model.logits(digits.test_pixels[:200]).argmax(1), original)


def test_logits_are_calibrated_where_that_is_asked_for(
    trained: dict[str, Tensor], cli: CommandLine, digits: ImageData
) -> None:
    form, path = FORMS["softmax"], cli.folder / "theirs.onnx"
    theirs(trained | {name: 3 * trained[name] for name in ("output.weight", "output.bias")}, form, path)
    given = ("export", path, "--dataset", "digits", *form.options, "--format", "onnx", "--int8")
    for options in ((), ("--calibrate",)):
        done = cli(*given, *options)
        assert done.exit_code == 0, done.output
    untouched, calibrated = (find_run(Path(f"runs/theirs-digits-imported-{number}")) for number in (1, 2))
    assert untouched.record.spec.threshold is None
    temperature, spec = calibrated.record.metrics["temperature"], calibrated.record.spec
    assert temperature > 1.2
    assert f"the logits are divided by the temperature {temperature}, which" in done.stderr
    before, after = (opened.model.logits(digits.test_pixels) for opened in (untouched, calibrated))
    np.testing.assert_allclose(after, before / temperature, rtol=1e-3, atol=1e-3)
    for file in calibrated.run.export_folder.glob("*.onnx"):
        _, model = open_file(file)
        assert float(model.metadata["lenet_edge.threshold"]) == pytest.approx(spec.threshold)
        assert np.abs(model.logits(digits.test_pixels) - after).mean() < 0.05 * np.abs(after).mean()


@pytest.mark.parametrize("labels", [["0", "1", "2"], [*"0123456788"], [*"012345678x"]])
def test_other_labels_are_refused(labels: list[str], tmp_path: Path, digits: ImageData) -> None:
    with pytest.raises(LenetEdgeError, match="give those of digits in the order of the file's outputs, each once"):
        import_file(tmp_path / "theirs.onnx", digits, labels=labels)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ({0: "a", 1: "b"}, ("a", "b")),
        (["a", "b"], ("a", "b")),
        ({1: "a", 2: "b"}, ()),
        ({0: "a", 1: "a"}, ()),
        ("__import__('os')", ()),
        ("(" * 9000, ()),
        ([1, 2], ()),
    ],
)
def test_labels_are_read_from_metadata(names: object, found: tuple[str, ...], tmp_path: Path) -> None:
    graph = helper.make_graph([], "empty", [], [])
    onnx.save(helper.make_model(graph), tmp_path / "theirs.onnx")
    rewritten(tmp_path / "theirs.onnx", names=names)
    assert labels_in(tmp_path / "theirs.onnx") == found


def test_own_images_get_the_files_size_and_colours(tmp_path: Path) -> None:
    node = helper.make_node("GlobalAveragePool", ["images"], ["means"])
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 40, 40])
    means = helper.make_tensor_value_info("means", TensorProto.FLOAT, [1, 3, 1, 1])
    model = helper.make_model(
        helper.make_graph([node], "theirs", [images], [means]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "theirs.onnx")
    for label in "ab":
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (50, 30), (10 * number, 99, 3)).save(tmp_path / "photos" / label / f"{number}.png")
    assert data_for(tmp_path / "theirs.onnx", str(tmp_path / "photos")).train_pixels.shape[1:] == (3, 40, 40)
