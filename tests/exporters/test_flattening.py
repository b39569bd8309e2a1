"""Images flattened channels last in front of a dense layer: the same bits, and no Transpose is left."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from lenet_edge_exporters import int8
from lenet_edge_exporters.executed import executed_nodes
from lenet_edge_exporters.export_job import Int8Options
from lenet_edge_exporters.flattening import flatten_channels_last
from lenet_edge_exporters.int8 import quantization
from trained_runs import exported


def small_net(channels: int = 2, size: int = 6, flatten: str = "Flatten") -> onnx.ModelProto:
    """A convolution with 2x2 pooling (of `channels`), flattened, and a dense layer, as `onnx.build` gives them."""
    random = np.random.default_rng(0)
    pooled = channels * (size // 2) ** 2
    arrays = {
        "conv.weight": random.normal(size=(channels, 3, 3, 3)) / 255,
        "conv.bias": random.normal(size=channels),
        "dense.weight": random.normal(size=(4, pooled)),
        "dense.bias": random.normal(size=4),
    }
    constants = {name: values.astype(np.float32) for name, values in arrays.items()}
    constants["row"] = np.array([-1, pooled])
    layout = ["p", "row"] if flatten == "Reshape" else ["p"]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["x"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["y"], "conv", kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("Relu", ["y"], ["z"], "relu"),
        helper.make_node("MaxPool", ["z"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node(flatten, layout, ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "dense.weight", "dense.bias"], ["logits"], "dense", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 3, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def quantized(
    net: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, layers: tuple[str, ...] | None = None
) -> tuple[onnx.ModelProto, onnx.ModelProto, bool]:
    """The int8 graph without the rewriting, with it, and whether it applied."""
    size = net.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    pixels = np.random.default_rng(1).integers(0, 256, (50, 3, size, size), np.uint8)
    monkeypatch.setattr(quantization, "flatten_channels_last", lambda model: False)
    before = int8.quantize(net, pixels, None if layers is None else Int8Options(layers=layers))
    after = onnx.ModelProto()
    after.CopyFrom(before)
    applied = flatten_channels_last(after)
    onnx.checker.check_model(after, full_check=True)
    np.testing.assert_array_equal(*(logits(model, pixels) for model in (after, before)))
    return before, after, applied


def logits(model: onnx.ModelProto, pixels: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"pixels": pixels})[0]


@pytest.mark.parametrize("flatten", ["Flatten", "Reshape"])
def test_same_bits_and_one_node_less(flatten: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after, applied = quantized(small_net(flatten=flatten), monkeypatch)
    assert applied
    moved = [sum(node.op_type == "Transpose" for node in operators(model)) for model in (before, after)]
    assert moved[1] == moved[0] - 1


@pytest.mark.parametrize("net", [{"channels": 1}, {"size": 2}])
def test_leaves_alone_what_lies_so_already(net: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    before, after, applied = quantized(small_net(**net), monkeypatch)  # type: ignore[arg-type]
    assert not applied
    assert after == before


@pytest.mark.parametrize("layers", [("conv",), ("dense",)])
def test_leaves_alone_what_is_half_in_float(layers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    assert not quantized(small_net(), monkeypatch, layers)[2]


@pytest.mark.parametrize("run", ["digits_run", "classic_run"])
def test_files_move_nothing_behind_their_input(run: str, request: pytest.FixtureRequest) -> None:
    nodes = executed_nodes(exported(request.getfixturevalue(run), "int8").read_bytes())
    assert not [node for node in nodes[1:] if node.op_type == "Transpose"]


def operators(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return executed_nodes(model.SerializeToString())
