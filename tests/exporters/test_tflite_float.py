"""The float32 TFLite file against the PyTorch model: every recipe, others' layers, drawn networks; what it refuses."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from generated_networks import draw
from torch import nn

from command_line import CommandLine
from export_jobs import USER_SPEC, make_job, reference
from lenet_edge.networks.recipes import RECIPES
from lenet_edge_exporters import ExportJob, export, open_file, tflite_float
from lenet_edge_exporters.integer_program.program import UnsupportedError
from lenet_edge_exporters.pixels import torch_model
from lenet_edge_runtime import Classifier, ModelSpec
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.tflite_file import metadata_of, schema, summarise

pytest.importorskip("ai_edge_litert", reason="the extra litert is not installed: pip install -e '.[litert]'")

NETS = {
    json.dumps(row.model.__dict__, default=str): name for name, row in RECIPES.items()
}.values()  # a recipe a network
FEW, MANY = 6, 300


def written(job: ExportJob, folder: Path) -> Path:
    path = folder / "net.float.tflite"
    path.write_bytes(tflite_float.export(job))
    return path


def without_xnnpack(path: Path, pixels: np.ndarray) -> np.ndarray:
    """The logits by LiteRT's own kernels, a second reading of the file."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    images = np.ascontiguousarray(np.moveaxis(pixels, 1, 3))
    source = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(source, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source, images)
    interpreter.invoke()
    return np.array(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def check_close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("net", [*NETS, "user's own"])
def test_logits_are_pytorchs_for_any_batch(net: str, tmp_path: Path) -> None:
    job = make_job(net)
    model, expected = Classifier(written(job, tmp_path), verify=False), reference(job)
    for batch in (1, 2, 7, 64):
        check_close(model.logits(job.check_pixels[:batch]), expected[:batch])


@pytest.mark.parametrize("net", ["lenet5", "lenet5-classic", "user's own"])
def test_other_kernels_give_the_same(net: str, tmp_path: Path) -> None:
    job = make_job(net)
    check_close(without_xnnpack(written(job, tmp_path), job.check_pixels), reference(job))


@pytest.mark.parametrize("seed", [*range(FEW), *(pytest.param(i, marks=pytest.mark.slow) for i in range(FEW, MANY))])
def test_drawn_networks_answer_like_pytorch_or_are_refused_by_the_operator(seed: int, tmp_path: Path) -> None:
    refusal = check_drawn(draw(seed).job, tmp_path)
    assert not refusal or ("the float TFLite export has no" in refusal and "export this net as onnx" in refusal)


def check_drawn(job: ExportJob, folder: Path) -> str:
    """Compare a network's file with it; return the error's text where the export refuses it, "" where it does not."""
    try:
        path = written(job, folder)
    except UnsupportedError as error:
        return str(error)
    expected = torch_model(job.net, job.spec).logits(job.check_pixels)
    check_close(Classifier(path, verify=False).logits(job.check_pixels), expected)
    check_close(without_xnnpack(path, job.check_pixels[:4]), expected[:4])
    return ""


def own_job(*layers: nn.Module) -> ExportJob:
    torch.manual_seed(0)
    net = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(3))
    net(torch.zeros(1, *USER_SPEC.pixel_shape))
    pixels = np.random.default_rng(0).integers(0, 256, (16, *USER_SPEC.pixel_shape), dtype=np.uint8)
    return ExportJob(net.eval(), USER_SPEC, pixels)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(3, 4, 3, stride=2, padding=2), nn.Tanh(), nn.AvgPool2d(3, 2, 1)],
        [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(3, 1, 1, count_include_pad=False)],
        [nn.Conv2d(3, 4, 5), nn.Tanh(), nn.MaxPool2d(3, 2, 1)],  # whose padding is less than every number
        [nn.Conv2d(3, 6, 3, groups=3), nn.LeakyReLU(0.2), nn.Conv2d(6, 4, 3, dilation=2), nn.Sigmoid()],
        [nn.ReLU6(), nn.Conv2d(3, 4, 3), nn.ELU(), nn.AdaptiveAvgPool2d(1)],
    ],
    ids=lambda layers: ", ".join(type(layer).__name__ for layer in layers),
)
def test_layers_of_other_networks(layers: list[nn.Module], tmp_path: Path) -> None:
    job = own_job(*layers)
    path, expected = written(job, tmp_path), torch_model(job.net, job.spec).logits(job.check_pixels)
    check_close(Classifier(path, verify=False).logits(job.check_pixels), expected)
    check_close(without_xnnpack(path, job.check_pixels), expected)


@pytest.mark.parametrize(
    ("job", "named"),
    [
        (lambda: own_job(nn.Conv2d(3, 4, 3), nn.GELU()), "no Erf"),
        (lambda: own_job(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 8, 3, groups=2)), r"no Conv .* with 2 groups of 4 channels"),
        (lambda: own_job(nn.Conv2d(3, 4, 3), nn.AvgPool2d(3, 2, 1, count_include_pad=False)), "no AveragePool"),
        (lambda: replace(make_job("lenet5"), input="float32"), "takes raw pixels; leave --input float32 out"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(job: Callable[[], ExportJob], named: str) -> None:
    with pytest.raises(UnsupportedError, match=named):
        tflite_float.export(job())


def test_same_bytes_twice_and_nothing_of_this_machine() -> None:
    content = tflite_float.export(make_job("lenet5"))
    assert content == tflite_float.export(make_job("lenet5"))
    assert str(Path.home()).encode() not in content


def test_preprocessing_and_relu_cost_no_operator(tmp_path: Path) -> None:
    assert summarise(written(make_job("lenet5"), tmp_path).read_bytes()).operators == {
        "CAST": 1, "CONV_2D": 2, "FULLY_CONNECTED": 3, "MAX_POOL_2D": 2, "RESHAPE": 1,
    }  # fmt: skip


def test_file_proves_itself_names_its_labels_and_says_what_it_is(tmp_path: Path, cli: CommandLine) -> None:
    job = make_job("lenet5")
    path = export(job, "tflite-float", tmp_path / "net.float.tflite", reference(job)).path
    model = Classifier(path)
    assert model.prove().passed
    assert model.spec == job.spec == ModelSpec.from_metadata(metadata_of(path.read_bytes()))
    assert open_file(path)[0] == "tflite-float"
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt").decode().split() == list(job.spec.labels)
    tensors = schema().ModelT.InitFromPackedBuf(path.read_bytes(), 0).subgraphs[0].tensors
    assert {tensor.name.decode() for tensor in tensors} >= {"pixels", "logits"}
    told = json.loads(cli("info", path, "--json").stdout)
    assert told["sealed"]
    assert told["metadata"]["format"] == "tflite-float"
    content = bytearray(path.read_bytes())
    content[30_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="its seal is broken"):
        Classifier(path)
