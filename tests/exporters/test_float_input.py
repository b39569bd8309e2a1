"""Files with a normalised float32 input: they take exactly what the torch network takes, and are used by raw pixels."""

import gc
import json
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from PIL import Image

from command_line import CommandLine
from export_jobs import NETS, USER_SPEC, make_job, reference, written
from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.run import Run
from lenet_edge_exporters import FORMATS, ExportJob, executed, open_file
from lenet_edge_runtime import Classifier, ModelSpec
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.images import normalise
from lenet_edge_runtime.io_binding import bind_io
from lenet_edge_runtime.sessions import open_session
from specs import GREY_SPEC, specs
from trained_runs import EVERYWHERE

FOR_ONNXRUNTIME = [row.name for row in FORMATS.values() if row.backend == "onnxruntime"]


def float_job(net: str = "lenet5") -> ExportJob:
    return replace(make_job(net), input="float32")


def by_hand(pixels: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """The normalisation as the spec's docstring has it, pixel by pixel in float64."""
    count, channels, height, width = pixels.shape
    p = spec.padding
    images = np.zeros((count, channels, height + 2 * p, width + 2 * p))
    images[:, :, p : p + height, p : p + width] = pixels
    for channel in range(channels):
        images[:, channel] = (images[:, channel] / 255 - spec.mean[channel]) / spec.std[channel]
    return images.astype(np.float32)


@pytest.mark.parametrize("spec", [GREY_SPEC, USER_SPEC])
def test_normalise_is_the_spec_written_out(spec: ModelSpec) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, *spec.pixel_shape), dtype=np.uint8)
    found = normalise(pixels, spec)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(pixels, spec), atol=1e-6)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("format_name", EVERYWHERE)
def test_raw_pixels_give_pytorchs_logits_for_any_batch(format_name: str, net: str, tmp_path: Path) -> None:
    job = float_job(net)
    stated, model = open_file(written(job, format_name, tmp_path), verify=False)
    assert stated == format_name
    expected = reference(job)
    # int8 rounds: on random weights and random images, within 5 % of the range of the logits.
    tolerance = 0.05 * np.ptp(expected) if format_name == "int8" else 2e-5
    for batch in (1, 2, 7):
        np.testing.assert_allclose(model.logits(job.check_pixels[:batch]), expected[:batch], atol=tolerance)
    timed = np.asarray(model.bind(job.check_pixels[:2])())
    np.testing.assert_allclose(timed.reshape(2, -1), expected[:2], atol=tolerance)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("format_name", FOR_ONNXRUNTIME)
def test_bare_session_fed_by_hand_equals_pytorch(format_name: str, net: str, tmp_path: Path) -> None:
    job = float_job(net)
    images = by_hand(job.check_pixels[:7], job.spec)
    (logits,) = open_session(written(job, format_name, tmp_path)).run(["logits"], {"images": images})
    with torch.inference_mode():
        expected = job.net(torch.from_numpy(images)).numpy()
    tolerance = 0.05 * np.ptp(reference(job)) if format_name == "int8" else 2e-5
    np.testing.assert_allclose(logits, expected, atol=tolerance)


@pytest.mark.parametrize("format_name", EVERYWHERE)
def test_file_states_its_input_and_its_image_size(format_name: str, tmp_path: Path) -> None:
    job = float_job()
    _, model = open_file(written(job, format_name, tmp_path), verify=False)
    assert json.loads(model.metadata["lenet_edge.input"]) == {
        "layout": "NCHW", "dtype": "float32", "shape": ["batch", 1, 32, 32],
    }  # fmt: skip
    assert ModelSpec.from_metadata(model.metadata) == job.spec


@pytest.mark.parametrize("format_name", ["onnx", "int8"])
def test_graph_begins_with_the_network_itself(format_name: str, tmp_path: Path) -> None:
    graph = onnx.load(written(float_job(), format_name, tmp_path)).graph
    (images,) = graph.input
    assert images.name == "images"
    assert images.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert [dim.dim_param or dim.dim_value for dim in images.type.tensor_type.shape.dim] == ["batch", 1, 32, 32]
    assert not {"Cast", "Pad", "Mul"} & {node.op_type for node in graph.node}
    (first,) = (node for node in graph.node if "images" in node.input)
    assert first.op_type == ("Conv" if format_name == "onnx" else "QuantizeLinear")


@pytest.mark.parametrize("net", ["lenet5", "lenet5-classic"])
def test_int8_is_integer_behind_its_first_quantization(net: str, tmp_path: Path) -> None:
    content = written(float_job(net), "int8", tmp_path).read_bytes()
    assert executed.float_nodes(content) == []
    assert executed.executed_nodes(content)[0].op_type == "QuantizeLinear"


def test_float_input_counts_as_float(tmp_path: Path) -> None:
    """An unquantized layer right behind the input computes in float, though nothing was dequantized for it."""
    found = executed.float_nodes(written(float_job(), "onnx", tmp_path).read_bytes())
    assert "Conv" in found[0]["op_type"]


@pytest.mark.parametrize("format_name", EVERYWHERE)
def test_exporting_twice_gives_the_same_bytes(format_name: str) -> None:
    job = float_job()
    assert FORMATS[format_name].export(job) == FORMATS[format_name].export(job)


@given(specs())
def test_spec_survives_the_metadata_of_a_float_file(spec: ModelSpec) -> None:
    assert ModelSpec.from_metadata(spec.to_metadata("float32")) == spec


@pytest.mark.parametrize(
    ("stated", "complaint"),
    [
        ({"dtype": "float16", "shape": ["batch", 1, 32, 32]}, "input: expected one of .*, got 'float16'"),
        ({"dtype": "float32", "shape": ["batch", 1, 3, 3]}, "not an image size: -1x-1"),
        ([], "damaged"),
    ],
)
def test_damaged_input_is_refused(stated: object, complaint: str) -> None:
    with pytest.raises(ModelFileError, match=complaint):
        ModelSpec.from_metadata({**GREY_SPEC.to_metadata("float32"), "lenet_edge.input": json.dumps(stated)})


def test_file_that_takes_something_else_than_it_states_is_refused(tmp_path: Path) -> None:
    model = onnx.load(written(float_job(), "onnx", tmp_path))
    onnx.helper.set_model_props(model, GREY_SPEC.to_metadata())
    onnx.save(model, tmp_path / "lies.onnx")
    with pytest.raises(ModelFileError, match=r"its input is float32 .*its metadata says uint8 \[batch, 1, 28, 28\]"):
        Classifier(tmp_path / "lies.onnx", verify=False)


def test_job_refuses_an_unknown_input() -> None:
    with pytest.raises(ValueError, match=r"input is one of .* got 'float16'"):
        replace(make_job("lenet5"), input="float16")


def test_export_verify_bench_and_prove_on_the_command_line(cli: CommandLine, digits_run: Run) -> None:
    shutil.copytree(digits_run.folder, Path("runs") / "one", ignore=shutil.ignore_patterns("export"))
    exported = cli("export", "--input", "float32", "--int8", "--format", "onnx", "--max-drop", "100", "--json")
    assert exported.exit_code == 0, exported.output
    verified = json.loads(cli("verify", "--max-drop", "100", "--json").stdout)
    assert verified["passed"] is True
    assert [model["format"] for model in verified["models"]] == ["onnx", "int8"]
    assert all(model["agreement"] > 0.98 for model in verified["models"])
    alone = shutil.copy(json.loads(exported.stdout)["artifacts"][1]["path"], "alone.int8.onnx")
    shutil.rmtree("runs")
    assert cli("verify", alone, "--dataset", "digits").exit_code == 0
    assert json.loads(cli("info", alone, "--json").stdout)["metadata"]["input"]["dtype"] == "float32"


def test_bench_and_predict_take_raw_pixels(cli: CommandLine, digits_run: Run, digits: ImageData) -> None:
    shutil.copytree(digits_run.folder, Path("runs") / "one", ignore=shutil.ignore_patterns("export"))
    assert cli("export", "--input", "float32", "--format", "onnx", "--max-drop", "100").exit_code == 0
    assert cli("bench", "--rounds", "2", "--calls", "5").exit_code == 0
    Image.fromarray(digits.test_pixels[int((digits.test_labels == 7).argmax()), 0]).save("seven.png")
    (file,) = Path("runs/one/export").glob("*.onnx")
    assert json.loads(cli("predict", file, "seven.png", "--json").stdout)[0]["label"] == "7"


def test_bound_input_lives_as_long_as_its_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images made of the pixels are the call's alone, whether or not this onnxruntime holds them too."""
    made: list[weakref.ref[np.ndarray]] = []
    bind = onnxruntime.OrtValue.ortvalue_from_numpy

    def remember(images: np.ndarray) -> onnxruntime.OrtValue:
        made.append(weakref.ref(images))
        return bind(images.copy())

    monkeypatch.setattr(onnxruntime.OrtValue, "ortvalue_from_numpy", remember)
    job = float_job()
    call = bind_io(written(job, "onnx", tmp_path), job.check_pixels[:1])
    gc.collect()
    assert made[0]() is not None
    call()
    del call
    gc.collect()
    assert made[0]() is None


def test_unknown_input_is_a_usage_error(cli: CommandLine) -> None:
    assert cli("export", "--input", "float16").exit_code == 2
