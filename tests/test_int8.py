"""int8: quantized where it should be, in a form that cannot saturate, whatever the kernel."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from conftest import exported
from lenet_edge.datasets import ImageData
from lenet_edge.runs import Run
from lenet_edge_exporters import executed, open_file
from lenet_edge_exporters.onnx import load


@pytest.fixture
def int8(digits_run: Run) -> Path:
    return exported(digits_run, "int8")


def logits_with(path: Path, pixels: np.ndarray, **config: str) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    for key, value in config.items():
        options.add_session_config_entry(key.replace("__", "."), value)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"pixels": pixels})[0]


@pytest.mark.parametrize("run", ["digits_run", "classic_run"])
def test_no_kernel_saturates(run: str, digits: ImageData, request: pytest.FixtureRequest) -> None:
    """onnxruntime's switch that avoids 16-bit sums on x86 without VNNI changes no bit."""
    path = exported(request.getfixturevalue(run), "int8")
    fast = logits_with(path, digits.test_pixels)
    precise = logits_with(path, digits.test_pixels, session__x64quantprecision="1")
    np.testing.assert_array_equal(fast, precise)


def test_weights_are_int8_in_disguise(int8: Path) -> None:
    model = onnx.load(int8)
    arrays = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    producers = {name: node for node in model.graph.node for name in node.output}
    assert len(layers) == 5
    for layer in layers:
        dequantize = producers[layer.input[1]]
        weights, scales, zero_points = (arrays[name] for name in dequantize.input)
        assert weights.dtype == np.uint8
        assert len(scales) == len(weights)  # one a channel
        assert set(zero_points.tolist()) == {128}


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("digits_run", ["QLinearConv", "MaxPool", "QLinearConv", "MaxPool", "QGemm", "QGemm", "QGemm"]),
        (
            "classic_run",
            [
                "QLinearConv", "QLinearSigmoid", "QLinearAveragePool",
                "QLinearConv", "QLinearSigmoid", "QLinearAveragePool",
                "QGemm", "QLinearSigmoid", "QGemm", "QLinearSigmoid", "QGemm",
            ],
        ),
    ],
)  # fmt: skip
def test_executed_graph_is_integer_up_to_the_logits(
    run: str, expected: list[str], request: pytest.FixtureRequest
) -> None:
    """The operators that onnxruntime really runs, after its own rewriting."""
    path = exported(request.getfixturevalue(run), "int8")
    operators = executed.executed_operators(path.read_bytes())
    assert [name.removeprefix("Nhwc") for name in operators if name not in executed.LAYOUT] == expected
    _, model = open_file(path)
    assert json.loads(model.metadata["lenet_edge.float_nodes"]) == []


def test_pixels_are_the_quantized_input(int8: Path) -> None:
    graph = onnx.load(int8).graph
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    (reader,) = (node for node in graph.node if "pixels" in node.input)
    assert reader.op_type == "DequantizeLinear"
    assert [float(arrays[name]) for name in reader.input[1:]] == [1.0, 0.0]
    assert not any(node.output[0] == "logits" and "Linear" in node.op_type for node in graph.node)


@pytest.mark.parametrize("run", ["digits_run", "classic_run"])
def test_agrees_with_float32_and_is_a_third_of_its_size(
    run: str, digits: ImageData, request: pytest.FixtureRequest
) -> None:
    found = request.getfixturevalue(run)
    int8, float32 = exported(found, "int8"), exported(found, "onnx")
    same = load(int8).logits(digits.test_pixels).argmax(1) == load(float32).logits(digits.test_pixels).argmax(1)
    assert same.mean() > 0.98
    assert int8.stat().st_size < 0.31 * float32.stat().st_size


def test_calibration_is_recorded(int8: Path) -> None:
    _, model = open_file(int8)
    assert json.loads(model.metadata["lenet_edge.calibration"]) == {
        "images": 512, "split": "train", "method": "minmax",
    }  # fmt: skip
