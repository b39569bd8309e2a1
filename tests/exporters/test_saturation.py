"""int8 weights on x86 without VNNI: no 16-bit sum of two products overflows, whatever the activations.

The oracle for the bound is VPMADDUBSW's definition; for the files, onnxruntime itself on an emulated Haswell.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from export_jobs import USER_SPEC, make_job
from lenet_edge.runs.run import Run
from lenet_edge_exporters import ExportJob, int8
from lenet_edge_exporters.int8 import quantization
from lenet_edge_exporters.int8 import weights as int8_weights
from lenet_edge_runtime.sessions import open_content, open_session
from trained_runs import exported

SHAPES = [(6, 25), (10, 84), (3, 7), (6, 1, 5, 5), (16, 6, 5, 5), (8, 3, 3, 3), (5, 7, 1, 1), (4, 2, 3)]
HASWELL = """
import sys, numpy, onnxruntime
for path in sys.argv[1:]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    numpy.save(path + ".npy", session.run(["logits"], {"pixels": numpy.load(path + ".pixels.npy")})[0])
"""


def saturates(rows: np.ndarray) -> bool:
    """Whether VPMADDUBSW of any activations overflows: each pair's own sign decides between 0 and 255."""
    wide = np.pad(rows.reshape(len(rows), -1).astype(np.int64), ((0, 0), (0, 1)))
    pairs = wide[:, : wide.shape[1] // 2 * 2].reshape(-1, 2)
    sums = [255 * pairs.clip(min=0).sum(1), 255 * pairs.clip(max=0).sum(1)]
    return bool(max(sums[0]) > 2**15 - 1 or min(sums[1]) < -(2**15))


def saturates_in_any_layout(weights: np.ndarray) -> bool:
    return saturates(weights) or saturates(np.moveaxis(weights, 1, -1))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["normal", "same sign", "equal", "one outlier", "zeros"])
def test_no_pair_saturates(shape: tuple[int, ...], kind: str) -> None:
    generator = np.random.default_rng(0)
    weights = generator.normal(size=shape)
    if kind == "same sign":
        weights = -np.abs(weights)
    elif kind == "equal":
        weights = np.full(shape, 0.3)
    elif kind == "one outlier":
        weights.reshape(len(weights), -1)[:, 0] = 100
    elif kind == "zeros":
        weights[:] = 0
    weights = weights.astype(np.float32)
    steps = int8_weights.scales(weights)
    codes = np.rint(weights / steps.reshape(-1, *(1,) * (weights.ndim - 1)))
    assert np.abs(codes).max() <= 127
    assert not saturates_in_any_layout(codes)
    if len(shape) == 4 and shape[1] == 1:  # of a grey image: wherever pairs begin
        assert not saturates(np.pad(codes.reshape(len(codes), -1), ((0, 0), (1, 0))))
    if kind == "normal":  # no coarser than half of 8 bits
        assert (np.abs(codes).reshape(len(codes), -1).max(1) >= 63).all()


@pytest.mark.parametrize("run", ["digits_run", "classic_run"])
def test_no_weights_of_a_file_saturate(run: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """As onnxruntime has them once it has laid them out: a convolution's channels last."""
    optimised = tmp_path / "optimised.onnx"
    open_content(exported(request.getfixturevalue(run), "int8").read_bytes(), "the file", optimised=optimised)
    tensors = [numpy_helper.to_array(item) for item in onnx.load(optimised).graph.initializer]
    found = [values for values in tensors if values.dtype == np.int8 and values.ndim > 1]
    assert len(found) == 5
    assert not any(saturates(np.moveaxis(values, 1, -1)) for values in found)


def test_a_flattened_image_saturates_in_neither_order() -> None:
    """The dense layer's scales allow for columns channels last, as its file has them, and first, as C and TFLite."""
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(5, 6, 3, 3)).astype(np.float32)
    weights[0, :2, 0, 0] = weights[1, 0, 0, :2] = 3  # the largest pairs of either order
    rows = numpy_helper.from_array(weights.reshape(5, -1), "weight")
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["f"], "flatten"),
            helper.make_node("Gemm", ["f", "weight"], ["y"], "dense", transB=1),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 6, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5])],
        [rows],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    steps = np.array([item["scale"] for item in int8_weights.overrides(model, {})["weight"]])
    assert not saturates_in_any_layout(np.rint(weights / steps.reshape(-1, 1, 1, 1)))


class Depthwise(nn.Sequential):
    """The operators of mobile networks: depthwise, 1x1, grouped, strided, dense."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 6, 3, padding=1, groups=3), nn.ReLU(), nn.Conv2d(6, 16, 1), nn.ReLU(),
            nn.Conv2d(16, 8, 3, stride=2, groups=2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(12), nn.ReLU(),
            nn.Linear(12, 3),
        )  # fmt: skip


def mobile_job() -> ExportJob:
    torch.manual_seed(0)
    net = Depthwise()
    net(torch.zeros(1, *USER_SPEC.pixel_shape))
    pixels = np.random.default_rng(0).integers(0, 256, (16, *USER_SPEC.pixel_shape), np.uint8)
    return ExportJob(net.eval(), USER_SPEC, pixels, pixels, 18, {"recipe": "mobile"})


def extremes(shape: tuple[int, ...]) -> np.ndarray:
    """Images of the least and greatest pixels alone: white, black, stripes both ways, and at random."""
    images = np.zeros((40, *shape), np.uint8)
    images[0] = 255
    images[2, ..., ::2] = images[3, ..., 1::2] = images[4, ..., ::2, :] = images[5, ..., 1::2, :] = 255
    images[6:] = 255 * np.random.default_rng(1).integers(0, 2, images[6:].shape, np.uint8)
    return images


@pytest.fixture
def on_haswell() -> Callable[[list[Path]], list[np.ndarray]]:
    """Logits of files, of the images beside them, by this onnxruntime on x86 with AVX2 and without VNNI."""
    emulator = shutil.which("qemu-x86_64")
    if emulator is None or platform.machine() != "x86_64" or sys.platform != "linux":
        pytest.skip("needs x86-64 Linux and qemu-x86_64: apt-get install qemu-user")

    def run(paths: list[Path]) -> list[np.ndarray]:
        command = [emulator, "-cpu", "Haswell", os.path.realpath(sys.executable), "-c", HASWELL, *map(str, paths)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
        return [np.load(f"{path}.npy") for path in paths]

    return run


def test_same_bits_without_vnni(
    on_haswell: Callable[[list[Path]], list[np.ndarray]],
    digits_run: Run,
    classic_run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contents = {run.folder.name: exported(run, "int8").read_bytes() for run in (digits_run, classic_run)}
    for name, job in {"user": make_job("user's own"), "mobile": mobile_job()}.items():
        contents[name] = int8.export(job)
    # The same with scales that use all of int8, as onnxruntime's quantizer would: the emulator shows that it differs.
    monkeypatch.setattr(
        int8_weights, "scales", lambda weights, **_: np.abs(weights.reshape(len(weights), -1)).max(1) / np.float32(127)
    )
    monkeypatch.setattr(quantization, "compensate", lambda *_: None)  # it knows the rule, too
    contents["control"] = int8.export(mobile_job())
    paths = []
    for name, content in contents.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        shape = [item.dim_value for item in onnx.load(path).graph.input[0].type.tensor_type.shape.dim[1:]]
        np.save(f"{path}.pixels.npy", extremes(tuple(shape)))
        paths.append(path)
    same = {
        path.stem: np.array_equal(
            found, open_session(path).run(["logits"], {"pixels": np.load(f"{path}.pixels.npy")})[0]
        )
        for path, found in zip(paths, on_haswell(paths), strict=True)
    }
    # On a machine without VNNI the control saturates here as it does there.
    vnni = "vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    assert same == {path.stem: path.stem != "control" or not vnni for path in paths}
