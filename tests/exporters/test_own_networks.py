"""Other people's networks: every format gives their logits, and C those of the int8 file, bit for bit."""

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from own_networks import KNOWN, OPERATORS
from torch import nn

from lenet_edge_exporters import FORMATS, ExportJob, int8
from lenet_edge_exporters import onnx as onnx_format
from lenet_edge_exporters.atomic import write_folder
from lenet_edge_exporters.c import toolchain
from lenet_edge_exporters.known_answers import OnnxLogits
from lenet_edge_exporters.pixels import torch_model
from lenet_edge_runtime import ModelSpec
from lenet_edge_runtime.shared_library import SharedLibrary

MEANS, DEVIATIONS = (0.2, 0.3, 0.45), (0.3, 0.2, 0.25)
NETWORKS = {**KNOWN, **OPERATORS}


@cache
def traced(name: str) -> onnx.ModelProto:
    """torch's export of a network, which takes longer than all the rest."""
    return onnx_format.trace(job_of(name))


@pytest.fixture(params=NETWORKS)
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    made = traced(request.param)

    def copy(_job: ExportJob) -> onnx.ModelProto:
        model = onnx.ModelProto()
        model.CopyFrom(made)
        return model

    monkeypatch.setattr(onnx_format, "trace", copy)
    return str(request.param)


def job_of(name: str) -> ExportJob:
    """A network with random weights, on noise, normalised by a mean of its own for each channel."""
    torch.manual_seed(0)
    build, shape = NETWORKS[name]
    net = build()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    channels, height, width = shape
    spec = ModelSpec(
        tuple("0123456789ab"[: 12 if name == "DS-CNN" else 10]), height, width, MEANS[:channels], DEVIATIONS[:channels]
    )
    generator = np.random.default_rng(0)
    contrast = generator.uniform(0.2, 1, (48, 1, 1, 1))  # so that their logits differ in more than noise
    pixels = (contrast * generator.integers(0, 256, (48, *shape))).astype(np.uint8)
    return ExportJob(net.eval(), spec, pixels, pixels)


def own_logits(job: ExportJob, probabilities: bool) -> np.ndarray:
    """The network's own, the images normalised by NumPy; logarithms where it gives probabilities."""
    mean, std = (np.array(values).reshape(1, -1, 1, 1) for values in (job.spec.mean, job.spec.std))
    images = torch.from_numpy(((job.check_pixels / 255 - mean) / std).astype(np.float32))
    with torch.inference_mode():
        output = job.net(images).numpy()
    return np.log(output) if probabilities else output


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def test_float32_gives_the_networks_own_probabilities(name: str, tmp_path: Path) -> None:
    job = job_of(name)
    path = tmp_path / "net.onnx"
    content = FORMATS["onnx"].export(job)
    assert isinstance(content, bytes)
    path.write_bytes(content)
    found = FORMATS["onnx"].load(path, 1).logits(job.check_pixels)
    np.testing.assert_allclose(softmax(found), softmax(own_logits(job, name == "Softmax")), atol=2e-5)
    reference = torch_model(job.net, job.spec).logits(job.check_pixels)
    np.testing.assert_allclose(found, reference, atol=1e-4 * np.abs(reference).max())


def test_c_has_the_bits_of_the_int8_file_and_int8_is_near(name: str, tmp_path: Path) -> None:
    job = job_of(name)
    files = FORMATS["c"].export(job)
    assert isinstance(files, dict)
    write_folder(tmp_path / "net-c", files)
    sources = [tmp_path / "net-c" / file for file in ("lenet.c", "lenet_metadata.c")]
    options = ["-O1", "-fPIC", "-shared", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
    library = SharedLibrary(toolchain.compile_c(sources, tmp_path / "lenet.so", options))
    found = OnnxLogits(int8.export(job)).logits(job.check_pixels)
    np.testing.assert_array_equal(library.logits(job.check_pixels), found)
    assert len(np.unique(found)) > 20
    reference = torch_model(job.net, job.spec).logits(job.check_pixels)
    assert np.abs(found - reference).mean() < 0.05 * np.abs(reference).max()
