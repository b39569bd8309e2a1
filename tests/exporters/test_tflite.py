"""The TFLite export against onnxruntime: bit for bit under XNNPACK, elsewhere a step off at most; what it refuses."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from command_line import CommandLine
from export_jobs import USER_SPEC, make_job
from lenet_edge.data.datasets import load_dataset
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.recipes import RECIPES
from lenet_edge_exporters import ExportJob, export, int8, open_file, tflite
from lenet_edge_exporters.integer_program.program import UnsupportedError
from lenet_edge_exporters.known_answers import OnnxLogits
from lenet_edge_exporters.tflite import LOGIT_STEP, logit_codes
from lenet_edge_runtime import Classifier, ModelSpec
from lenet_edge_runtime.errors import GateError, MissingExtraError, ModelFileError, ProviderError
from lenet_edge_runtime.tflite_file import metadata_of, schema, summarise
from trained_runs import briefly_trained

pytest.importorskip("ai_edge_litert", reason="the extra litert is not installed: pip install -e '.[litert]'")

REFUSED = [name for name, recipe in RECIPES.items() if getattr(recipe.model, "activation", "relu") == "tanh"]
EXPRESSIBLE = ["lenet5", "lenet5-clothes", "fashion-cnn", "fashion-cnn-enhanced", "digits-cnn"]  # a recipe a network
FLOAT_ERROR = 128 * 2**-22  # in steps, of a logit up to 128 steps from 0 that was rounded to float32 twice
KERNELS = ["BUILTIN_REF", "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "tflite-micro"]


@dataclass(frozen=True)
class Exported:
    """A TFLite file, images, and what onnxruntime's int8 logits of them are as codes of the file's output."""

    path: Path
    pixels: np.ndarray
    codes: np.ndarray  # int8
    undecided: np.ndarray  # bool: so near a half that float32's error decides


def exported(job: ExportJob, pixels: np.ndarray, folder: Path) -> Exported:
    path = folder / "net.tflite"
    path.write_bytes(tflite.export(job))
    oracle = OnnxLogits(int8.plain_graph(job).SerializeToString())
    scale, zero_point = logit_codes(oracle.logits(job.calibration_pixels))
    steps = oracle.logits(pixels) / np.float32(scale)
    codes = np.clip(np.rint(steps) + zero_point, -128, 127).astype(np.int8)
    return Exported(path, pixels, codes, np.abs(np.abs(steps - np.rint(steps)) - 0.5) < FLOAT_ERROR)


def litert_codes(path: Path, pixels: np.ndarray, resolver: str = "AUTO") -> np.ndarray:
    """The int8 logits by LiteRT itself, a foreign reading of the file."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(str(path), experimental_op_resolver_type=getattr(OpResolverType, resolver))
    source = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(source, (len(pixels), *np.moveaxis(pixels, 1, 3).shape[1:]))
    interpreter.allocate_tensors()
    interpreter.set_tensor(source, np.ascontiguousarray(np.moveaxis(pixels, 1, 3)))
    interpreter.invoke()
    return np.array(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def tflm_codes(path: Path, pixels: np.ndarray) -> np.ndarray:
    """The int8 logits by TensorFlow Lite Micro, image by image."""
    runtime = pytest.importorskip("tflite_micro", reason="PyPI's tflite-micro is not installed").runtime
    interpreter = runtime.Interpreter.from_file(str(path))
    rows = []
    for image in np.moveaxis(pixels, 1, 3):
        interpreter.set_input(image[None], 0)
        interpreter.invoke()
        rows.append(interpreter.get_output(0)[0].copy())
    return np.array(rows)


@pytest.fixture(scope="module", params=EXPRESSIBLE)
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A recipe's network by random weights, on noise."""
    job = make_job(request.param)
    return exported(job, job.check_pixels, tmp_path_factory.mktemp("tflite"))


@pytest.fixture(scope="module")
def trained(digits: ImageData, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported(briefly_trained(digits, "lenet5"), digits.test_pixels, tmp_path_factory.mktemp("tflite"))


def test_xnnpack_gives_onnxruntimes_logits_bit_for_bit(network: Exported) -> None:
    check_same(network)


def test_xnnpack_gives_onnxruntimes_logits_bit_for_bit_on_digits(trained: Exported) -> None:
    check_same(trained)


@pytest.mark.parametrize("kernels", KERNELS)
def test_other_kernels_are_a_step_off_at_most_and_give_the_same_classes(trained: Exported, kernels: str) -> None:
    check_close(codes_by(kernels, trained.path, trained.pixels), trained.codes)


@pytest.mark.parametrize("kernels", KERNELS[:2])
def test_other_kernels_are_a_step_off_at_most_for_every_network(network: Exported, kernels: str) -> None:
    check_close(codes_by(kernels, network.path, network.pixels), network.codes)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("recipe", [name for name in RECIPES if name not in REFUSED])
def test_every_recipe_on_all_official_test_images(dataset: str, recipe: str, real_data: Path, tmp_path: Path) -> None:
    data = load_dataset(dataset, real_data)
    net = exported(briefly_trained(data, recipe), data.test_pixels, tmp_path)
    check_same(net)
    for kernels in KERNELS[:2]:
        check_close(codes_by(kernels, net.path, net.pixels), net.codes)
    if importlib.util.find_spec("tflite_micro"):
        check_close(codes_by("tflite-micro", net.path, net.pixels), net.codes)


@pytest.mark.parametrize("recipe", REFUSED)
def test_recipes_that_tflite_would_round_otherwise_are_refused_by_the_operator(recipe: str) -> None:
    with pytest.raises(UnsupportedError, match=r"no (Lookup|AveragePool): TFLite's own rounds otherwise"):
        tflite.export(make_job(recipe))


def codes_by(kernels: str, path: Path, pixels: np.ndarray) -> np.ndarray:
    if kernels == "tflite-micro":
        return tflm_codes(path, pixels)
    return np.concatenate([litert_codes(path, pixels[i : i + 1000], kernels) for i in range(0, len(pixels), 1000)])


def check_same(net: Exported) -> None:
    """XNNPACK's codes are the oracle's, but where its logit in float32 may lie on the other side of a half."""
    found = codes_by("AUTO", net.path, net.pixels)
    assert np.array_equal(found[~net.undecided], net.codes[~net.undecided])
    assert np.abs(found.astype(int) - net.codes).max() <= 1
    assert net.undecided.mean() < 0.001


def check_close(found: np.ndarray, codes: np.ndarray) -> None:
    """Codes one step off at most, one in a hundred; classes differ only where a step decides, in one of 1,000 at most.

    Hidden layers round as XNNPACK's do (`int8.ties`); of the last one a few sums are near a half.
    """
    assert np.abs(found.astype(int) - codes).max() <= 1
    assert (found != codes).mean() < 0.01
    greatest = found[np.arange(len(codes)), codes.argmax(1)]
    assert (found.max(1) - greatest.astype(int) <= 1).all()
    clear = np.sort(codes.astype(int), 1)[:, -1] - np.sort(codes.astype(int), 1)[:, -2] > 2
    assert (found.argmax(1) == codes.argmax(1))[clear].all()
    assert (found.argmax(1) == codes.argmax(1)).mean() >= 0.999 or len(codes) < 10_000


def test_classifier_gives_what_the_codes_stand_for(trained: Exported) -> None:
    step = np.float32(json.loads(metadata_of(trained.path.read_bytes())[LOGIT_STEP]))
    logits = Classifier(trained.path, verify=False).logits(trained.pixels)
    steps = np.rint(logits / step)
    assert np.allclose(logits, step * steps, rtol=1e-6)
    assert np.array_equal(steps - steps[0, 0], trained.codes.astype(np.float32) - trained.codes[0, 0])


def test_float_logits_are_what_the_codes_stand_for(tmp_path: Path) -> None:
    job = make_job("lenet5")
    found = []
    for kind in ("int8", "float32"):
        path = tmp_path / f"{kind}.tflite"
        path.write_bytes(tflite.export(replace(job, tflite_logits=kind)))
        found.append(Classifier(path, verify=False).logits(job.check_pixels))
    assert np.array_equal(*found)


@pytest.mark.parametrize("images", [1, 2, 64])
def test_any_batch_gives_the_same_logits(network: Exported, images: int) -> None:
    model = Classifier(network.path, verify=False)
    whole = model.logits(network.pixels)
    assert np.array_equal(model.logits(network.pixels[:images]), whole[:images])


def test_same_bytes_twice_and_nothing_of_this_machine() -> None:
    content = tflite.export(make_job("lenet5"))
    assert content == tflite.export(make_job("lenet5"))
    assert str(Path.home()).encode() not in content
    assert b"/tmp/" not in content


def test_every_constant_begins_where_a_microcontroller_can_read_it_in_place() -> None:
    content = tflite.export(make_job("lenet5"))
    model = schema().Model.GetRootAs(content, 0)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    places = [item._tab.Vector(item._tab.Offset(4)) for item in buffers if not item.DataIsNone()]
    assert len(places) > 10
    assert {place % 16 for place in places} == {0}


def test_colour_images_and_padding_that_no_word_says(tmp_path: Path) -> None:
    """Channels come last in the file; two pixels around a window of three take an operator of their own."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 6, 3, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.LazyLinear(3),
    )  # fmt: skip
    net(torch.zeros(1, *USER_SPEC.pixel_shape))
    pixels = np.random.default_rng(0).integers(0, 256, (32, *USER_SPEC.pixel_shape), dtype=np.uint8)
    found = exported(ExportJob(net.eval(), USER_SPEC, pixels, pixels), pixels, tmp_path)
    assert summarise(found.path.read_bytes()).operators["PAD"] == 1
    check_same(found)


@pytest.mark.parametrize(
    ("job", "named"),
    [
        (lambda: make_job("user's own"), "the TFLite export has no"),
        (lambda: replace(make_job("lenet5"), input="float32"), "takes raw pixels"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(job: Callable[[], ExportJob], named: str) -> None:
    with pytest.raises(UnsupportedError, match=named):
        tflite.export(job())


@pytest.fixture
def sealed(digits: ImageData, tmp_path: Path) -> Path:
    job = briefly_trained(digits, "lenet5")
    reference = OnnxLogits(int8.plain_graph(job).SerializeToString()).logits(job.check_pixels)
    return export(job, "tflite", tmp_path / "net.tflite", reference).path


def test_file_proves_itself_and_says_what_it_is(sealed: Path, cli: CommandLine) -> None:
    model = Classifier(sealed)
    assert model.prove().passed
    assert model.spec == ModelSpec.from_metadata(metadata_of(sealed.read_bytes()))
    name, opened = open_file(sealed)
    assert (name, type(opened)) == ("tflite", Classifier)
    told = json.loads(cli("info", sealed, "--json").stdout)
    assert told["operators"] == {
        "CONV_2D": 2, "FULLY_CONNECTED": 3, "MAX_POOL_2D": 2, "QUANTIZE": 1, "RESHAPE": 1,
    }  # fmt: skip
    assert told["sealed"]
    assert told["known_answers"] == 16
    assert told["metadata"]["input"] == {"layout": "NHWC", "dtype": "uint8", "shape": ["batch", 28, 28, 1]}


@pytest.mark.parametrize("place", [100, 30_000, -100])
def test_one_changed_byte_is_found_before_litert_sees_it(sealed: Path, place: int) -> None:
    content = bytearray(sealed.read_bytes())
    content[place] ^= 1
    sealed.write_bytes(content)
    with pytest.raises(ModelFileError, match="its seal is broken"):
        Classifier(sealed)
    with pytest.raises(GateError, match="its seal is broken"):
        open_file(sealed)


@pytest.mark.parametrize("length", [8, 200, 40_000])
def test_what_is_left_of_a_file_is_refused_in_one_line(sealed: Path, length: int, cli: CommandLine) -> None:
    sealed.write_bytes(sealed.read_bytes()[:length])
    assert "TFLite" in cli.fails("info", sealed)


def test_other_providers_are_refused(sealed: Path) -> None:
    with pytest.raises(ProviderError, match="run by LiteRT on the CPU"):
        Classifier(sealed, provider="cuda")


def test_missing_extra_is_named_with_what_to_type(sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lenet-edge\[litert\]'"):
        Classifier(sealed)
    with pytest.raises(MissingExtraError, match=r"pip install 'lenet-edge\[litert\]'"):
        tflite.export(make_job("lenet5"))


def test_vela_gives_every_operator_to_the_npu(trained: Exported, tmp_path: Path) -> None:
    vela = shutil.which("vela")
    if vela is None:
        pytest.skip("Arm's compiler is not installed: pip install ethos-u-vela")
    done = subprocess.run(
        [vela, "--accelerator-config", "ethos-u55-128", "--output-dir", str(tmp_path), str(trained.path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "CPU operators = 0 (0.0%)" in done.stdout
