"""int8: quantized where it should be, in a form that cannot saturate, whatever the kernel."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from lenet_edge.artefacts.calibration import Int8Plan
from lenet_edge.artefacts.exporting import export_job
from lenet_edge.data.image_data import VALIDATION_SHARE, ImageData, split_indices
from lenet_edge.runs.opened import open_run
from lenet_edge.runs.run import Run
from lenet_edge_exporters import ExportJob, executed, open_file
from lenet_edge_exporters import int8 as int8_format
from lenet_edge_exporters.export_job import CALIBRATION_METHODS, Int8Options
from lenet_edge_exporters.int8 import calibrate, quantize, quantize_layers
from lenet_edge_exporters.layers import layers_of
from lenet_edge_exporters.onnx import build, load
from trained_runs import exported


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


def constants(model: onnx.ModelProto, names: list[str]) -> list[np.ndarray]:
    """Values that do not depend on the input: stored, or laid out by nodes as the file is opened."""
    fixed, nodes = {item.name for item in model.graph.initializer}, []
    for node in model.graph.node:
        if fixed.issuperset(node.input) and node.op_type != "DequantizeLinear":
            fixed.update(node.output)
            nodes.append(node)
    outputs = [helper.make_empty_tensor_value_info(name) for name in names]
    graph = helper.make_graph(nodes, "constants", [], outputs, model.graph.initializer)
    made = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return list(ReferenceEvaluator(made).run(names, {}))


def test_weights_are_int8_with_a_scale_per_channel(int8: Path) -> None:
    model = onnx.load(int8)
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    producers = {name: node for node in model.graph.node for name in node.output}
    assert len(layers) == 5
    for layer in layers:
        weights, scales, zero_points = constants(model, list(producers[layer.input[1]].input))
        assert weights.dtype == np.int8
        assert len(scales) == len(weights)
        assert set(zero_points.tolist()) == {0}


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
    operators = [node.op_type for node in executed.executed_nodes(path.read_bytes())]
    assert [name.removeprefix("Nhwc") for name in operators if name not in executed.LAYOUT] == expected
    _, model = open_file(path, verify=False)
    assert json.loads(model.metadata["lenet_edge.float_nodes"]) == []


def test_pixels_are_the_quantized_input(int8: Path) -> None:
    graph = onnx.load(int8).graph
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    reader = next(node for node in graph.node if "pixels" in node.input)
    while reader.op_type in ("Reshape", "Transpose"):
        reader = next(node for node in graph.node if reader.output[0] in node.input)
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
    _, model = open_file(int8, verify=False)
    assert json.loads(model.metadata["lenet_edge.calibration"]) == {
        "images": 512, "split": "train", "method": "minmax", "seed": 0,
    }  # fmt: skip


# --- options -------------------------------------------------------------------------------------------------------

CONVOLUTIONS = ["layers.c1.0", "layers.c3.0"]
DENSE = ["layers.c5.0", "layers.f6.0", "layers.output"]


@pytest.fixture(scope="module")
def job(digits_run: Run, digits: ImageData) -> ExportJob:
    return export_job(open_run(digits_run))


@pytest.fixture(scope="module")
def float32(job: ExportJob) -> onnx.ModelProto:
    return build(job)


@pytest.fixture(scope="module")
def prepared(float32: onnx.ModelProto) -> onnx.ModelProto:
    return int8_format.prepare(float32)


def run_model(model: onnx.ModelProto, pixels: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"pixels": pixels})[0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"calibration_method": "max"}, "one of minmax, entropy, percentile, got 'max'"),
        ({"layers": "auto"}, "'all', 'linear' or a tuple of node names, got 'auto'"),
        ({"layers": ()}, "got ()"),
        ({"layers": (1,)}, "got (1,)"),
    ],
)
def test_options_validate_themselves(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Int8Options(**fields)


def test_layers_are_named_as_in_the_network(prepared: onnx.ModelProto) -> None:
    layers = layers_of(prepared)
    assert [layer.label for layer in layers] == CONVOLUTIONS + DENSE
    assert [layer.op_type for layer in layers] == ["Conv"] * 2 + ["Gemm"] * 3


def test_unknown_layer(prepared: onnx.ModelProto, job: ExportJob) -> None:
    with pytest.raises(ValueError, match="no layer is called fc9; choose among node_"):
        quantize_layers(prepared, {}, job.calibration_pixels, ("fc9",))


@pytest.mark.parametrize("indices", [(0,), (1,), (0, 1), (2, 3, 4), (4,), (0, 2, 4), (0, 1, 2, 3, 4)])
def test_only_the_chosen_layers_are_quantized(
    indices: tuple[int, ...],
    job: ExportJob,
    float32: onnx.ModelProto,
    prepared: onnx.ModelProto,
    digits: ImageData,
) -> None:
    layers = layers_of(prepared)
    names = tuple(layers[index].node for index in indices)
    model = quantize(float32, job.calibration_pixels, Int8Options(layers=names))
    arrays = {item.name: item.data_type for item in model.graph.initializer}
    producers = {name: node for node in model.graph.node for name in node.output}
    quantized = []
    for layer in (node for node in model.graph.node if node.op_type in ("Conv", "Gemm")):
        if layer.input[1] not in arrays:
            quantized.append(layer.name)
            assert arrays[producers[layer.input[1]].input[2]] == onnx.TensorProto.INT8  # their zero points'
    assert quantized == list(names)
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    (reader,) = (node for node in model.graph.node if "pixels" in node.input)
    assert reader.op_type == ("Reshape" if 0 in indices else "Cast")  # pixels in blocks, or in float
    logits, reference = (run_model(item, digits.test_pixels) for item in (model, float32))
    assert (logits.argmax(1) == reference.argmax(1)).mean() > 0.98


def test_linear_means_the_dense_layers(job: ExportJob, float32: onnx.ModelProto, prepared: onnx.ModelProto) -> None:
    named = tuple(layer.node for layer in layers_of(prepared) if layer.label in DENSE)
    linear, explicit = (
        quantize(float32, job.calibration_pixels, Int8Options(layers=layers)) for layers in ("linear", named)
    )
    assert linear.SerializeToString(deterministic=True) == explicit.SerializeToString(deterministic=True)


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_calibration_prints_nothing(
    method: Any, job: ExportJob, float32: onnx.ModelProto, digits: ImageData, capfd: pytest.CaptureFixture[str]
) -> None:
    model = quantize(float32, job.calibration_pixels[:64], Int8Options(method))
    assert capfd.readouterr() == ("", "")
    logits, reference = (run_model(item, digits.test_pixels) for item in (model, float32))
    assert (logits.argmax(1) == reference.argmax(1)).mean() > 0.97


def test_ranges_of_minmax_are_those_of_the_activations(job: ExportJob, prepared: onnx.ModelProto) -> None:
    """The oracle: the same layer run by itself."""
    ranges = calibrate(prepared, job.calibration_pixels, "minmax")
    first = next(node for node in prepared.graph.node if node.op_type == "Relu")
    layer = onnx.ModelProto()
    layer.CopyFrom(prepared)
    layer.graph.output.append(onnx.ValueInfoProto(name=first.output[0]))
    session = onnxruntime.InferenceSession(layer.SerializeToString(), providers=["CPUExecutionProvider"])
    (values,) = session.run([first.output[0]], {"pixels": job.calibration_pixels.astype(np.float32)})
    assert ranges[first.output[0]] == pytest.approx((values.min(), values.max()), rel=1e-5)


def test_percentile_and_entropy_cut_the_range(job: ExportJob, prepared: onnx.ModelProto) -> None:
    """As onnxruntime is called by default, entropy would give the range of minmax."""
    whole, *cut = (calibrate(prepared, job.calibration_pixels, method) for method in CALIBRATION_METHODS)
    for ranges in cut:
        assert set(ranges) == set(whole)
        assert all(ranges[name][1] <= whole[name][1] * (1 + 1e-6) for name in whole)
        assert any(ranges[name][1] < 0.99 * whole[name][1] for name in whole)


def test_preparing_leaves_the_graph_alone(job: ExportJob, float32: onnx.ModelProto) -> None:
    before = float32.SerializeToString(deterministic=True)
    quantize(float32, job.calibration_pixels)
    assert float32.SerializeToString(deterministic=True) == before


def test_bytes_are_mostly_weights(job: ExportJob, float32: onnx.ModelProto) -> None:
    """What is not weights, scales and biases is less than a tenth; the whole below 0.29 of float32's bytes."""
    model = quantize(float32, job.calibration_pixels)
    numbers = sum(numpy_helper.to_array(item).nbytes for item in model.graph.initializer)
    assert numbers > 0.9 * model.ByteSize()
    assert model.ByteSize() < 0.29 * float32.ByteSize()
    names = [layer.node for layer in layers_of(float32)]
    assert [node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm")] == names


def test_seed_draws_other_training_images(digits_run: Run, digits: ImageData) -> None:
    record = digits_run.read()
    _, held_out = split_indices(digits.train_labels, VALIDATION_SHARE, record.seed)
    validation = {image.tobytes() for image in digits.train_pixels[held_out]}
    draws = [export_job(open_run(digits_run), int8=Int8Plan(100, seed=seed)) for seed in (0, 1, 1)]
    first, second, again = (draw.calibration_pixels for draw in draws)
    assert [len(first), draws[1].int8.calibration_seed] == [100, 1]
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(second, again)
    assert not validation & {image.tobytes() for image in second}
