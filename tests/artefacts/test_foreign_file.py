"""Another tool's float ONNX file through the formats made of ONNX, against onnxruntime on that file as it came."""

import contextlib
import io
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from command_line import CommandLine
from lenet_edge.data.image_data import ImageData
from lenet_edge_exporters import open_file


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
def test_export_is_verified_and_predicts(trained: dict[str, Tensor], cli: CommandLine, digits: ImageData) -> None:
    theirs(trained, FORMS["softmax"], cli.folder / "theirs.onnx")
    assert cli("export", "theirs.onnx", "--dataset", "digits", *FORMS["softmax"].options, "--int8").exit_code == 0
    result = cli("verify", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["passed"]


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
    result = cli("export", "theirs.onnx")
    assert result.exit_code == 2
    assert "--dataset" in result.stderr
