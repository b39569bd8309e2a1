"""tanh as a sigmoid in integers: the same codes, in every place of a net where it is allowed."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from lenet_edge_exporters import ExportJob, activations, executed, folding, int8
from lenet_edge_exporters.onnx import build
from lenet_edge_exporters.pixels import torch_model
from lenet_edge_runtime.errors import GateError
from lenet_edge_runtime.sessions import open_session
from specs import GREY_SPEC

POOLED = nn.Sequential(
    nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
    nn.Flatten(), nn.Linear(400, 84), nn.Tanh(), nn.Linear(84, 10),
)  # fmt: skip
PADDED = nn.Sequential(
    nn.Conv2d(1, 4, 3, stride=2), nn.Tanh(), nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.MaxPool2d(3), nn.Tanh(),
    nn.Flatten(), nn.Linear(100, 10),
)  # fmt: skip


class Residual(nn.Module):
    """The second tanh's input is read by the sum too: its range is not tanh's to choose, so it becomes a table."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 5, stride=2), nn.Conv2d(4, 4, 3, padding=1)
        self.output = nn.Linear(4 * 14 * 14, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(torch.tanh(self.first(x)))
        return self.output((x + torch.tanh(x)).flatten(1))


AFTER_RELU = nn.Sequential(nn.Conv2d(1, 4, 5, stride=4), nn.ReLU(), nn.Tanh(), nn.Flatten(), nn.Linear(196, 10))
AS_LOGITS = nn.Sequential(nn.Flatten(), nn.Linear(1024, 10), nn.Tanh())

NETS = {
    "pooled": (POOLED, 3, 0),
    "padded": (PADDED, 2, 0),
    "residual": (Residual(), 1, 0),
    "after relu": (AFTER_RELU, 0, 0),
    "as logits": (AS_LOGITS, 0, 1),
}


def job_of(net: nn.Module, opset: int = 18) -> ExportJob:
    torch.manual_seed(0)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=2 * parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 1, 28, 28), dtype=np.uint8)
    return ExportJob(net.eval(), GREY_SPEC, pixels, pixels, opset)


def counts(content: bytes) -> tuple[int, int]:
    operators = [node.op_type for node in executed.executed_nodes(content)]
    return operators.count("QLinearSigmoid"), operators.count("Tanh")


@pytest.mark.parametrize("scale", activations.INPUT_SCALES)
def test_every_code_is_tanhs_and_far_from_a_tie(scale: np.float32) -> None:
    x = np.float64(scale) * (np.arange(256) - float(activations.INPUT_ZERO_POINT))
    tanh = np.tanh(x) / np.float64(activations.TANH_SCALE) + float(activations.TANH_ZERO_POINT)
    sigmoid = 1 / (1 + np.exp(-2 * x)) / np.float64(activations.SIGMOID_SCALE)
    np.testing.assert_array_equal(np.rint(tanh), np.rint(sigmoid))
    assert np.rint(sigmoid)[128] == 127  # tanh(0) = 0
    assert np.abs(sigmoid - np.floor(sigmoid) - 0.5).min() > 0.008


def test_clipping_at_the_largest_scale_loses_nothing() -> None:
    x = np.float64(activations.INPUT_SCALES[0]) * np.array([-128, 127, 1000])
    assert np.rint(127 * np.tanh(x)).tolist() == [-127, 127, 127]


@pytest.mark.parametrize(("spread", "scale"), [(0.01, 4), (2.0, 0)])
def test_input_scale_follows_the_calibration_images(spread: float, scale: int) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(1024, 8), nn.Tanh(), nn.Linear(8, 10))
    job = job_of(net)
    nn.init.uniform_(net[1].weight, -spread / 32, spread / 32)
    nn.init.zeros_(net[1].bias)
    graph = onnx.load_from_string(int8.export(job)).graph
    (sigmoid,) = (node for node in graph.node if node.op_type == "Sigmoid")
    (before,) = (node for node in graph.node if sigmoid.input[0] in node.output)
    assert folding.constant(graph, before.input[1]) == 2 * activations.INPUT_SCALES[scale]


@pytest.mark.parametrize("name", NETS)
def test_replaced_where_the_ranges_allow_it_and_reported_where_not(name: str) -> None:
    net, replaced, stays = NETS[name]
    content = int8.export(job_of(net))
    assert counts(content) == (replaced, stays)
    metadata = {item.key: item.value for item in onnx.load_from_string(content).metadata_props}
    float_nodes = json.loads(metadata["lenet_edge.float_nodes"])
    assert float_nodes == executed.float_nodes(content)
    assert [node["op_type"] for node in float_nodes if node["op_type"] == "Tanh"] == ["Tanh"] * stays
    assert bool(float_nodes) == bool(stays)


@pytest.mark.parametrize("name", NETS)
def test_logits_are_pytorchs_within_int8s_rounding(name: str, tmp_path: Path) -> None:
    job = job_of(NETS[name][0])
    (tmp_path / "net.onnx").write_bytes(int8.export(job))
    found = open_session(tmp_path / "net.onnx").run(["logits"], {"pixels": job.check_pixels})[0]
    expected = torch_model(job.net, job.spec).logits(job.check_pixels)
    np.testing.assert_allclose(found, expected, atol=0.06 * np.ptp(expected))


@pytest.mark.parametrize("opset", [13, 18, 21])
def test_fully_integer_in_every_opset(opset: int) -> None:
    content = int8.export(job_of(POOLED, opset))
    assert [node.op_type for node in executed.executed_nodes(content) if node.op_type not in executed.LAYOUT] == [
        "QLinearConv", "QLinearSigmoid", "QLinearAveragePool", "QLinearConv", "QLinearSigmoid", "QLinearAveragePool",
        "QGemm", "QLinearSigmoid", "QGemm",
    ]  # fmt: skip
    assert executed.float_nodes(content) == []


def test_float_file_computes_in_float_throughout() -> None:
    operators = [node["op_type"] for node in executed.float_nodes(build(job_of(POOLED)).SerializeToString())]
    assert [name for name in operators if name != "Tanh"] == [  # onnxruntime may fuse Tanh into the layer before it
        "Conv", "AveragePool", "Conv", "AveragePool", *(name for name in operators if name.endswith("Gemm")),
    ]  # fmt: skip
    assert len([name for name in operators if name.endswith("Gemm")]) == 2


def test_a_replacement_that_differs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activations, "SIGMOID_SCALE", np.float32(1 / 250))
    with pytest.raises(
        GateError, match=r"in the place of Tanh the logits of 64 calibration images differ by .*at most"
    ):
        int8.export(job_of(POOLED))
