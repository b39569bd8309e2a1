"""Whatever network is drawn, its files answer like its owner's net, or the export refuses it by a typed error."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from generated_networks import Drawn, draw
from onnx import ModelProto

from lenet_edge_exporters import FORMATS, ExportJob, int8
from lenet_edge_exporters import onnx as onnx_format
from lenet_edge_exporters.atomic import write_folder
from lenet_edge_exporters.c import toolchain
from lenet_edge_exporters.formats import write_content
from lenet_edge_exporters.known_answers import OnnxLogits
from lenet_edge_runtime.errors import LenetEdgeError
from lenet_edge_runtime.shared_library import SharedLibrary

FEW, MANY = 4, 500
OTHERS = ("torchscript", "pt2", "ort")  # each takes a while: one for every network, in turn


def probabilities(drawn: Drawn) -> np.ndarray:
    """What the owner's net says of images that NumPy padded and normalised, in float64."""
    job, border = drawn.job, drawn.job.spec.padding
    mean, std = (np.array(values).reshape(1, -1, 1, 1) for values in (job.spec.mean, job.spec.std))
    padded = np.pad(job.check_pixels / 255, ((0, 0), (0, 0), (border, border), (border, border)))
    with torch.inference_mode():
        output = job.net.double()(torch.from_numpy((padded - mean) / std)).numpy()
    job.net.float()
    return output if drawn.end == "softmax" else softmax(output)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def c_of(job: ExportJob, folder: Path) -> SharedLibrary:
    files = FORMATS["c"].export(job)
    assert isinstance(files, dict)
    write_folder(folder / "net-c", files)
    sources = [folder / "net-c" / name for name in ("lenet.c", "lenet_metadata.c")]
    return SharedLibrary(toolchain.compile_c(sources, folder / "lenet.so", ["-O0", "-fPIC", "-shared"]))


def check(seed: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Export one network and compare; return the error's text where C refuses it, "" where it does not."""
    drawn = draw(seed)
    job, own = drawn.job, probabilities(drawn)
    traced = onnx_format.trace(job).SerializeToString()
    monkeypatch.setattr(onnx_format, "trace", lambda _job: ModelProto.FromString(traced))
    for name in ("onnx", OTHERS[seed % len(OTHERS)]):
        path = folder / f"net{FORMATS[name].suffix}"
        write_content(path, FORMATS[name].export(job))
        logits = FORMATS[name].load(path, 1).logits(job.check_pixels)
        np.testing.assert_allclose(softmax(logits), own, atol=1e-4, err_msg=f"seed {seed}, {name}")
    quantized = OnnxLogits(int8.export(job)).logits(job.check_pixels)
    assert np.abs(softmax(quantized) - own).mean() < 0.05, f"seed {seed}: int8 answers otherwise"
    try:
        library = c_of(job, folder)
    except LenetEdgeError as error:
        return f"{type(error).__name__}: {error}"
    np.testing.assert_array_equal(library.logits(job.check_pixels), quantized, err_msg=f"seed {seed}, C")
    return ""


@pytest.mark.parametrize("seed", [*range(FEW), *(pytest.param(i, marks=pytest.mark.slow) for i in range(FEW, MANY))])
def test_files_answer_like_the_owners_net_or_are_refused(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    refusal = check(seed, tmp_path, monkeypatch)
    assert not refusal or "export this net as int8 ONNX" in refusal
