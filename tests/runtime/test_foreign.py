"""Other tools' ONNX classifiers, built with onnx.helper: answers against NumPy's, and the limits on hostile ones."""

import itertools
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from command_line import CommandLine
from lenet_edge.data.image_data import ImageData
from lenet_edge.evaluation.foreign_accuracy import read_labels
from lenet_edge.evaluation.statistics import wilson_interval
from lenet_edge.runs.run import Run
from lenet_edge_exporters import FORMATS
from lenet_edge_runtime import ModelFileError, guard, softmax
from lenet_edge_runtime.foreign_classifier import PROBES, ForeignClassifier
from lenet_edge_runtime.guard import Guard, Limits
from trained_runs import exported

DIGITS = "0,1,2,3,4,5,6,7,8,9"
NORMALISED = ("--labels", DIGITS, "--mean", "0.5", "--std", "0.5")
OPSET = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]


@dataclass(frozen=True)
class Form:
    """How a foreign file looks from outside."""

    dtype: int = TensorProto.FLOAT
    layout: str = "NCHW"
    batch: str | int = "n"
    probabilities: bool = False
    trailing: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        return NORMALISED[:2] if self.dtype == TensorProto.UINT8 else NORMALISED


FORMS = {
    "float32": Form(),
    "uint8": Form(dtype=TensorProto.UINT8),
    "double": Form(dtype=TensorProto.DOUBLE),
    "float16": Form(dtype=TensorProto.FLOAT16),
    "flat": Form(layout="flat"),
    "without channels": Form(layout="NHW"),
    "1s behind the classes": Form(trailing=True),
    "nhwc": Form(layout="NHWC"),
    "batch of 1": Form(batch=1),
    "batch of 3, probabilities": Form(batch=3, probabilities=True),
}


@pytest.fixture(scope="session")
def weights(digits: ImageData) -> NDArray[np.float32]:
    """A linear classifier of the digits by ridge regression: float32 [785, 10], the bias last."""
    images = normalised(digits.train_pixels)
    rows = np.c_[images, np.ones(len(images))]
    targets = 20 * np.eye(10)[digits.train_labels]
    found = np.linalg.solve(rows.T @ rows + 10 * np.eye(rows.shape[1]), rows.T @ targets)
    return found.astype(np.float32)


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Form:
    return FORMS[request.param]


@pytest.fixture
def foreign(cli: CommandLine, weights: NDArray[np.float32]) -> Path:
    """The plainest form: float32 [n, 1, 28, 28] to logits."""
    return save(linear(weights, Form()))


@pytest.fixture
def png(cli: CommandLine, digits: ImageData) -> Path:
    path = cli.folder / "digit.png"
    Image.fromarray(digits.test_pixels[0, 0]).save(path)
    return path


def normalised(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return (pixels.reshape(len(pixels), -1) / 255 - 0.5) / 0.5


def answers(weights: NDArray[np.float32], pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The oracle: what every form of the file computes, in float64."""
    return normalised(pixels) @ weights[:-1].astype(np.float64) + weights[-1]


def linear(weights: NDArray[np.float32], form: Form) -> onnx.ModelProto:
    """The linear classifier as a graph of this form."""
    images = {"NCHW": [1, 28, 28], "NHWC": [28, 28, 1], "NHW": [28, 28], "flat": [784]}
    shape = [form.batch, *images[form.layout]]
    steps: list[tuple[str, list[str], dict[str, object]]] = []
    constants = {"w": weights[:-1], "b": weights[-1]}
    if form.dtype == TensorProto.UINT8:
        constants |= {"scale": np.float32(2 / 255), "one": np.float32(1)}
        steps += [("Cast", [], {"to": TensorProto.FLOAT}), ("Mul", ["scale"], {}), ("Sub", ["one"], {})]
    if form.dtype in (TensorProto.DOUBLE, TensorProto.FLOAT16):
        steps += [("Cast", [], {"to": TensorProto.FLOAT})]
    if form.layout == "NHWC":
        steps += [("Transpose", [], {"perm": [0, 3, 1, 2]})]
    steps += [("Flatten", [], {}), ("Gemm", ["w", "b"], {})]
    steps += [("Softmax", [], {"axis": 1})] if form.probabilities else []
    if form.trailing:
        constants |= {"last": np.array([2])}
        steps += [("Unsqueeze", ["last"], {})]
    nodes, last = [], "x"
    for number, (operator, inputs, attributes) in enumerate(steps):
        nodes.append(helper.make_node(operator, [last, *inputs], [f"t{number}"], **attributes))
        last = f"t{number}"
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    return model(nodes, last, initializers, helper.make_tensor_value_info("x", form.dtype, shape))


def model(
    nodes: list[onnx.NodeProto],
    output: str = "y",
    initializers: list[TensorProto] | None = None,
    image: onnx.ValueInfoProto | None = None,
) -> onnx.ModelProto:
    image = image or helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 28, 28])
    answer = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [image], [answer], initializers or [])
    return helper.make_model(graph, opset_imports=OPSET, ir_version=8)


def save(built: onnx.ModelProto, name: str = "foreign.onnx") -> Path:
    path = Path(name)
    path.write_bytes(built.SerializeToString())
    return path


# --- what works ----------------------------------------------------------------------------------------------------


def test_predictions_are_numpys(
    form: Form, cli: CommandLine, weights: NDArray[np.float32], digits: ImageData, png: Path
) -> None:
    other = cli.folder / "other.png"
    Image.fromarray(digits.test_pixels[1, 0]).save(other)
    result = cli("predict", save(linear(weights, form)), png, other, *form.options, "--json")
    assert result.exit_code == 0, result.output
    expected = softmax(answers(weights, digits.test_pixels[:2]).astype(np.float32))
    found = json.loads(result.stdout)
    tolerance = 5e-3 if form.dtype == TensorProto.FLOAT16 else 1e-5
    np.testing.assert_allclose([row["probabilities"] for row in found], expected, atol=tolerance)
    assert [row["index"] for row in found] == list(expected.argmax(1))


def test_accuracy_is_numpys(form: Form, cli: CommandLine, weights: NDArray[np.float32], digits: ImageData) -> None:
    path = save(linear(weights, form))
    result = cli("verify", path, *form.options, "--dataset", "digits", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    right = int((answers(weights, digits.test_pixels).argmax(1) == digits.test_labels).sum())
    assert right > 500
    assert document["reference"] is None
    assert document["models"] == [
        {
            "path": str(path),
            "format": "foreign",
            "dataset": "digits",
            "images": 599,
            "accuracy": right / 599,
            "accuracy_ci95": list(wilson_interval(right, 599)),
        }
    ]


def test_labels_may_come_in_another_order(foreign: Path, cli: CommandLine, weights: NDArray[np.float32]) -> None:
    turned = save(linear(weights[:, ::-1], Form()), "turned.onnx")
    Path("labels.txt").write_text("\n".join(reversed(DIGITS.split(","))) + "\n", encoding="utf-8")
    accuracies = [
        json.loads(cli("verify", path, "--labels", labels, *NORMALISED[2:], "--dataset", "digits", "--json").stdout)
        for path, labels in ((foreign, DIGITS), (turned, "labels.txt"))
    ]
    assert accuracies[0]["models"][0]["accuracy"] == accuracies[1]["models"][0]["accuracy"]


def test_raw_pixels_by_scale_and_a_hint_where_other_numbers_do_better(
    cli: CommandLine, weights: NDArray[np.float32], digits: ImageData
) -> None:
    raw = weights.copy()
    raw[:-1] = weights[:-1] * 2 / 255  # of pixels of 0 to 255: (x / 255 - 0.5) / 0.5 is 2 x / 255 - 1
    raw[-1] = weights[-1] - weights[:-1].sum(0)
    path = save(linear(raw, Form()))
    labels = ("--labels", DIGITS, "--dataset", "digits")
    right = int((answers(weights, digits.test_pixels).argmax(1) == digits.test_labels).sum())
    by_scale = cli("verify", path, *labels, "--scale", "255", "--json")
    assert json.loads(by_scale.stdout)["models"][0]["accuracy"] == pytest.approx(right / 599, abs=2e-3)
    assert "trained with other numbers" not in by_scale.stderr
    assert "with --scale 255" in cli("verify", path, *labels, "--mean", "0", "--std", "1").stderr


def test_sigmoids_are_reported_as_shares(
    cli: CommandLine, weights: NDArray[np.float32], digits: ImageData, png: Path
) -> None:
    built = linear(weights, Form())
    built.graph.node.append(helper.make_node("Sigmoid", [built.graph.output[0].name], ["s"]))
    built.graph.output[0].name = "s"
    (found,) = json.loads(cli("predict", save(built), png, *NORMALISED, "--json").stdout)
    values = 1 / (1 + np.exp(-answers(weights, digits.test_pixels[:1])[0]))
    np.testing.assert_allclose(found["probabilities"], values / values.sum(), atol=1e-5)


@pytest.mark.parametrize("where", ["beside it", "in a folder of its own"])
def test_weights_beside_the_file_are_read(
    where: str, cli: CommandLine, weights: NDArray[np.float32], digits: ImageData, png: Path
) -> None:
    location = "w.data" if where == "beside it" else "weights/w.data"
    Path("weights").mkdir()
    onnx.save(linear(weights, Form()), "e.onnx", save_as_external_data=True, location=location, size_threshold=0)
    (found,) = json.loads(cli("predict", "e.onnx", png, *NORMALISED, "--json").stdout)
    expected = softmax(answers(weights, digits.test_pixels[:1]).astype(np.float32))
    np.testing.assert_allclose(found["probabilities"], expected[0], atol=1e-5)
    Path(location).unlink()
    assert "cannot be read" in cli.fails("predict", "e.onnx", png, *NORMALISED)


@pytest.mark.parametrize(
    "location", ["../w.data", "/etc/passwd", "link.data", "a/../../w.data", "..\\w.data", "C:w.data"]
)
def test_weights_elsewhere_are_not_read(
    location: str, cli: CommandLine, weights: NDArray[np.float32], png: Path
) -> None:
    folder = Path("folder")
    folder.mkdir()
    onnx.save(
        linear(weights, Form()), folder / "e.onnx", save_as_external_data=True, location="w.data", size_threshold=0
    )
    (folder / "w.data").rename("w.data")
    (folder / "link.data").symlink_to(Path("w.data").resolve())
    built = onnx.load(folder / "e.onnx", load_external_data=False)
    for tensor in built.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    (folder / "e.onnx").write_bytes(built.SerializeToString())
    assert "outside of its own folder" in cli.fails("predict", folder / "e.onnx", png, *NORMALISED)


def test_colour_images_are_normalised_by_channel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 6), dtype=np.uint8)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 4, 6])
    pooled = helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)
    path = save(model([pooled], "y", [numpy_helper.from_array(np.array([2, 3]), "axes")], image), "colour.onnx")
    try:
        found = ForeignClassifier(path, ("red", "green", "blue"), mean, std).logits(pixels)
    finally:
        path.unlink()
    np.testing.assert_allclose(found, (pixels.mean((2, 3)) / 255 - mean) / std, atol=1e-5)


def test_bench(foreign: Path, cli: CommandLine) -> None:
    arguments = ("bench", foreign, *NORMALISED, "--batch", "1,4", "--rounds", "2", "--calls", "5")
    rows = json.loads(cli(*arguments, "--json").stdout)["rows"]
    assert [(row["backend"], row["format"], row["batch"]) for row in rows] == [
        ("onnxruntime", "foreign", 1),
        ("onnxruntime", "foreign", 4),
    ]
    for row in rows:
        assert row["relative_to_pytorch"] is None
        assert row["bytes"] == foreign.stat().st_size
        assert row["calls"] == 10
        assert row["p50_us"] > 0
        assert row["p90_us"] is None  # of ten calls
        assert row["load_us"] > row["first_call_us"] > 0
    assert "foreign.onnx" in cli(*arguments).stdout


def test_bench_of_a_fixed_batch(cli: CommandLine, weights: NDArray[np.float32]) -> None:
    path = save(linear(weights, FORMS["batch of 1"]))
    message = cli.fails("bench", path, *NORMALISED, "--batch", "4", "--rounds", "2", "--calls", "5")
    assert "give --batch 1" in message


# --- a base install ------------------------------------------------------------------------------------------------


@pytest.fixture
def base_install(cli: CommandLine) -> CommandLine:
    """The command line without what the `train` extra brings, in a process of its own."""
    extra = ("torch", "torchvision", "onnx", "onnxscript", "safetensors", "sklearn", "matplotlib", "filelock")
    code = f"import sys; sys.modules.update(dict.fromkeys({extra})); from lenet_edge.cli import main; main()"

    class BaseInstall(CommandLine):
        def __call__(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":  # type: ignore[override]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
            command = [sys.executable, "-c", code, *map(str, arguments)]
            return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    return BaseInstall(cli.folder)


def test_foreign_file_in_a_base_install(base_install: CommandLine, foreign: Path, png: Path) -> None:
    for arguments in (("predict", foreign, png), ("bench", foreign, "--rounds", "2", "--calls", "5")):
        result = base_install(*arguments, *NORMALISED, "--json")
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)


@pytest.mark.parametrize("format_name", ["onnx", "int8"])
def test_bench_of_our_file_in_a_base_install(base_install: CommandLine, digits_run: Run, format_name: str) -> None:
    """Also where the run lies around the file: without torch it cannot be timed."""
    path = exported(digits_run, format_name)
    result = base_install("bench", path, "--rounds", "2", "--calls", "5", "--json")
    assert result.returncode == 0, result.stderr
    (row,) = json.loads(result.stdout)["rows"]
    assert (row["format"], row["relative_to_pytorch"]) == (format_name, None)
    assert base_install("bench", path, "--rounds", "2", "--calls", "5").returncode == 0


def test_bench_of_a_run_in_a_base_install(base_install: CommandLine, digits_run: Run) -> None:
    result = base_install("bench", "--run", digits_run.folder, "--rounds", "2", "--calls", "5", "--json")
    assert result.returncode == 0, result.stderr
    expected = [row.name for row in FORMATS.values() if row.backend == "onnxruntime"]
    assert [row["format"] for row in json.loads(result.stdout)["rows"]] == expected


def test_bench_of_a_file_without_its_run(cli: CommandLine, digits_run: Run) -> None:
    path = Path("alone.int8.onnx")
    path.write_bytes(exported(digits_run, "int8").read_bytes())
    (row,) = json.loads(cli("bench", path, "--rounds", "2", "--calls", "5", "--json").stdout)["rows"]
    assert (row["format"], row["relative_to_pytorch"]) == ("int8", None)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    assert "fails its own check" in cli.fails("bench", path, "--rounds", "2", "--calls", "5", code=3)


# --- options that do not fit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["predict", "verify", "bench"])
def test_without_options_the_hint_says_which(command: str, cli: CommandLine, png: Path) -> None:
    """And the file is not opened: this one would never come back."""
    arguments = (save(endless_loop()), png) if command == "predict" else (save(endless_loop()),)
    assert "give --labels, --mean and --std" in cli.fails(command, *arguments)


def test_usage_errors(cli: CommandLine, foreign: Path, png: Path, digits_run: Run) -> None:
    ours = exported(digits_run, "onnx")
    for arguments, expected in (
        (("predict", ours, png, *NORMALISED), "leave out --labels"),
        (("verify", ours, *NORMALISED), "leave out --labels"),
        (("bench", ours, *NORMALISED), "leave out --labels"),
        (("predict", foreign, png, "--mean", "0.5"), "go with --labels"),
        (("bench", *NORMALISED), "give its path"),
        (("verify", foreign, *NORMALISED), "give --dataset"),
        (("verify", foreign, *NORMALISED, "--dataset", "digits", "--max-drop", "1"), "--max-drop"),
    ):
        result = cli(*arguments)
        assert result.exit_code == 2, (arguments, result.output)
        assert expected in " ".join(re.sub(r"[│\n]", " ", result.stderr).split())


def test_options_that_do_not_fit_the_file(cli: CommandLine, weights: NDArray[np.float32], png: Path) -> None:
    foreign, raw = save(linear(weights, Form())), save(linear(weights, FORMS["uint8"]), "raw.onnx")
    labels = ("--labels", DIGITS)
    assert "give --mean once" in cli.fails("predict", foreign, png, *labels)
    assert "got [0.1, 0.2]" in cli.fails("predict", foreign, png, *labels, "--mean", "0.1", "--mean", "0.2")
    assert "std has to be above zero" in cli.fails("predict", foreign, png, *labels, "--mean", "0", "--std", "0")
    assert "leave out --mean" in cli.fails("predict", raw, png, *NORMALISED)
    three = ("--labels", "a,b,c", "--mean", "0.5", "--std", "0.5")
    assert "no output of float [7, 3], one column per label; got float32 [7, 10]" in cli.fails(
        "predict", foreign, png, png, png, *three
    )
    assert "correct --labels" in cli.fails("verify", foreign, *three, "--dataset", "digits")
    assert "is neither" in cli.fails("predict", foreign, png, "--labels", "nowhere.txt")


@pytest.mark.parametrize(
    ("element", "shape", "expected"),
    [
        (TensorProto.FLOAT, ["n", 785], "1 or 3 channels"),
        (TensorProto.FLOAT, ["n", 1, 1, 28, 28], "expected one of float or uint8"),
        (TensorProto.INT64, ["n", 1, 28, 28], "tensor(int64)"),
        (TensorProto.FLOAT, ["n", 1, "h", "w"], "make_dynamic_shape_fixed"),
        (TensorProto.FLOAT, ["n", 2, 28, 28], "1 or 3 channels"),
        (TensorProto.FLOAT, ["n", 1, 10**6, 10**6], "up to 1024 x 1024"),
        (TensorProto.FLOAT, [10**9, 1, 28, 28], "at most 1024"),
    ],
)
def test_inputs_that_are_no_image(
    element: int, shape: list[str | int], expected: str, cli: CommandLine, png: Path
) -> None:
    image = helper.make_tensor_value_info("x", element, shape)
    cast = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)
    assert expected in cli.fails("predict", save(model([cast], image=image)), png, *NORMALISED)


def test_labels_are_read_from_text() -> None:
    assert read_labels("cat, dog") == ("cat", "dog")


# --- hostile files -------------------------------------------------------------------------------------------------


def external_data() -> onnx.ModelProto:
    tensor = TensorProto(name="w", data_type=1, data_location=TensorProto.EXTERNAL, dims=[1])
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return model([helper.make_node("Add", ["x", "w"], ["y"])], "y", [tensor])


def external_data_in_a_branch() -> onnx.ModelProto:
    tensor = external_data().graph.initializer[0]
    answer = helper.make_tensor_value_info("v", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Constant", [], ["v"], value=tensor)], "b", [], [answer])
    return model([helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)])


def unknown_domain() -> onnx.ModelProto:
    return model([helper.make_node("Exec\x1b[2J", ["x"], ["y"], domain="com.evil")])


def many_nodes() -> onnx.ModelProto:
    names = ["x", *(f"t{number}" for number in range(9_999)), "y"]
    return model([helper.make_node("Relu", [a], [b]) for a, b in itertools.pairwise(names)])


def local_function() -> onnx.ModelProto:
    built = model([helper.make_node("Inner", ["x"], ["y"], domain="ai.onnx.ml")])
    body = [helper.make_node("Exec", ["a"], ["b"], domain="com.evil")]
    built.functions.append(helper.make_function("ai.onnx.ml", "Inner", ["a"], ["b"], body, OPSET))
    return built


def endless_loop() -> onnx.ModelProto:
    state = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (
            ("i", TensorProto.INT64, []),
            ("c", TensorProto.BOOL, []),
            ("v", TensorProto.FLOAT, None),
        )
    ]
    results = [
        helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
        helper.make_tensor_value_info("v2", TensorProto.FLOAT, None),
    ]
    steps = [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Sin", ["v"], ["v2"])]
    body = helper.make_graph(steps, "body", state, results)
    start = [
        numpy_helper.from_array(np.array(2**62), "times"),
        numpy_helper.from_array(np.array(True), "go"),
    ]
    return model([helper.make_node("Loop", ["times", "go", "x"], ["y"], body=body)], "y", start)


def hundred_gigabytes() -> onnx.ModelProto:
    value = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["big"], value=value),
        helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    return model(nodes, "y", [numpy_helper.from_array(np.array([25 * 10**9]), "shape")])


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (external_data, "external data"),
        (external_data_in_a_branch, "external data"),
        (unknown_domain, r"has the operator com.evil::Exec\x1b[2J; only those of ai.onnx"),
        (many_nodes, "has 10,000 nodes, more than 2,000"),
        (local_function, "com.evil::Exec"),
        (endless_loop, "was stopped: it is not done after 3 s"),
        pytest.param(
            hundred_gigabytes, "cannot be run within the limits",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits address space"),
        ),
    ],
)  # fmt: skip
def test_hostile_file_is_refused_or_stopped(build, expected: str, cli: CommandLine, png: Path) -> None:
    path = save(build())
    limit = "3" if "after 3 s" in expected else "60"  # a busy machine takes long to start a child that refuses
    start = time.monotonic()
    assert expected in cli.fails("predict", path, png, *NORMALISED, "--time-limit", limit)
    assert time.monotonic() - start < float(limit) + 7


def test_time_between_the_children_is_not_the_files(
    foreign: Path, png: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock on which every child takes 60 s, and decoding images before it 1000 s."""
    ticks = itertools.accumulate(itertools.cycle((1000, 60)))
    monkeypatch.setattr(guard, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    classifier = ForeignClassifier(foreign, "0123456789", (0.5,), (0.5,), Guard(Limits(seconds=100)))
    assert classifier.predict(png).label in "0123456789"
    with pytest.raises(ModelFileError, match="was stopped: it is not done after 100 s"):
        classifier.predict(png)


@pytest.mark.parametrize(("side", "channels", "batch"), [(28, 1, 4096), (512, 3, 85), (1024, 3, 21)])
def test_large_images_come_in_small_batches(
    side: int, channels: int, batch: int, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", channels, side, side])
    cast = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)
    classifier = ForeignClassifier(save(model([cast], image=image)), "ab")
    asked = []

    def ask(_verb: str, _paths: list[Path], arrays: list[np.ndarray], classes: int) -> tuple[dict, np.ndarray]:
        asked.append(len(arrays[0]) - PROBES)
        return {}, np.zeros((len(arrays[0]), classes))

    monkeypatch.setattr(classifier.guard, "ask", ask)
    pixels = np.broadcast_to(np.uint8(0), (batch + 5, channels, side, side))
    assert classifier.logits(pixels).shape == (batch + 5, 2)
    assert asked == [batch, 5]


def test_what_fails_half_way_leaves_no_half_document(
    foreign: Path, png: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lenet_edge_runtime.foreign_classifier.IMAGES_A_CALL", 1)
    done = []

    def fail_later(self: ForeignClassifier, pixels: np.ndarray) -> np.ndarray:
        if done:
            raise ModelFileError("foreign.onnx was stopped")
        done.append(len(pixels))
        return np.zeros((len(pixels), 10), np.float32)

    monkeypatch.setattr(ForeignClassifier, "_ask", fail_later)
    assert "foreign.onnx was stopped" in cli.fails("predict", foreign, png, png, *NORMALISED, "--json")
    assert done == [1]


def test_default_limits_stop_within_30_seconds() -> None:
    assert Limits().seconds <= 25
    assert Limits().memory_bytes <= 4 * 2**30


@pytest.mark.parametrize("arguments", [("verify", "--dataset", "digits"), ("bench",)])
def test_verify_and_bench_are_stopped_too(arguments: tuple[str, ...], cli: CommandLine) -> None:
    path = save(endless_loop())
    message = cli.fails(arguments[0], path, *arguments[1:], *NORMALISED, "--time-limit", "3")
    assert "--time-limit" in message


def test_larger_file_than_allowed_is_refused(foreign: Path) -> None:
    with pytest.raises(ModelFileError, match="is larger than"):
        ForeignClassifier(foreign, "0123456789", (0.5,), (0.5,), Guard(Limits(file_bytes=1000)))


def test_message_of_too_many_fields_is_refused(cli: CommandLine, png: Path) -> None:
    Path("fields.onnx").write_bytes(b"\x08\x08" * (2**20 + 1))
    assert "fields" in cli.fails("predict", "fields.onnx", png, *NORMALISED)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_crash_of_the_child_is_one_line(
    foreign: Path, cli: CommandLine, png: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("crash").write_text("#!/bin/sh\nkill -SEGV $$\n", encoding="utf-8")
    Path("crash").chmod(0o755)
    monkeypatch.setattr(guard.sys, "executable", str(Path("crash").absolute()))
    assert "crashes onnxruntime (SIGSEGV)" in cli.fails("predict", foreign, png, *NORMALISED)


def test_nan_is_no_answer(cli: CommandLine, png: Path, weights: NDArray[np.float32]) -> None:
    path = save(linear(weights * np.float32(np.nan), Form()))
    assert "answers NaN" in cli.fails("predict", path, png, *NORMALISED)


def test_modules_in_the_working_folder_are_not_imported(foreign: Path, cli: CommandLine, png: Path) -> None:
    Path("numpy.py").write_text("raise SystemExit(9)", encoding="utf-8")
    assert cli("predict", foreign, png, *NORMALISED).exit_code == 0


def test_cut_files(foreign: Path, cli: CommandLine, png: Path) -> None:
    content = foreign.read_bytes()
    for end in (0, 1, 100, len(content) // 2, len(content) - 1):
        foreign.write_bytes(content[:end])
        assert "not an ONNX model" in cli.fails("predict", foreign, png, *NORMALISED)


def mutations(content: bytes, count: int) -> list[bytes]:
    """Random bytes changed, half of the time in what is not weights: names, shapes, operators."""
    generator = np.random.default_rng(0)
    raw = onnx.load_from_string(content).graph.initializer[0].raw_data
    start = content.index(raw)
    structure = [position for position in range(len(content)) if not start <= position < start + len(raw)]
    found = []
    for number in range(count):
        changed = bytearray(content)
        for _ in range(generator.integers(1, 4)):
            place = generator.choice(structure) if number % 2 else generator.integers(len(content))
            changed[place] = generator.integers(256)
        found.append(bytes(changed))
    return found


def test_200_mutations_answer_or_are_refused(foreign: Path, cli: CommandLine, digits: ImageData, png: Path) -> None:
    content = foreign.read_bytes()
    images = normalised(digits.test_pixels[:2]).astype(np.float32).reshape(2, 1, 28, 28)
    limits = Limits(seconds=60)  # of a busy machine; what is stopped is tested above

    def outcome(numbered: tuple[int, bytes]) -> str:
        path = Path(f"{numbered[0]}.onnx")
        path.write_bytes(numbered[1])
        try:
            _, rows = Guard(limits).ask("run", [path], [images], classes=10)
            return f"answered {np.shape(rows)}"
        except ModelFileError:
            return "refused"

    with ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:
        outcomes = list(pool.map(outcome, enumerate(mutations(content, 200))))
    assert set(outcomes) == {"refused", "answered (2, 10)"}
    for number in range(1, 24, 2):  # whose structure was changed: on the command line one line, or an answer
        result = cli("predict", f"{number}.onnx", png, *NORMALISED)
        assert result.exit_code in (0, 1)
        assert len(result.stderr.splitlines()) == result.exit_code
