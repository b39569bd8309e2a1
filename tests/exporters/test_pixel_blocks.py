"""The first convolution on blocks of pixels against the plain one: every bit of every logit is the same."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from lenet_edge.artefacts.exporting import export_job
from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.opened import open_run
from lenet_edge.runs.run import Run
from lenet_edge_exporters import folding, int8
from lenet_edge_exporters.int8 import quantization
from lenet_edge_exporters.onnx import build
from lenet_edge_exporters.pixel_blocks import widen_first_convolution

Model = onnx.ModelProto


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quantize without the rewriting that is tested here."""
    monkeypatch.setattr(quantization, "widen_first_convolution", lambda model: False)


def logits(model: Model, pixels: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"pixels": pixels})[0]


def rewritten(model: Model) -> tuple[Model, bool]:
    copy = Model()
    copy.CopyFrom(model)
    applied = widen_first_convolution(copy)
    onnx.checker.check_model(copy, full_check=True)
    return copy, applied


def small_net(
    *, channels: int = 1, size: int = 12, kernel: int = 5, pads: tuple[int, int] = (0, 0), stride: int = 1,
    pooling: str = "MaxPool", pool: int = 2, filters: int = 3, second: tuple[int, tuple[int, int]] | None = None,
) -> Model:  # fmt: skip
    """Convolution, ReLU, pooling and a dense layer with random weights, in the form that `onnx.build` gives.

    `second`: kernel and pads of another convolution behind the pooling.
    """
    random = np.random.default_rng(kernel)
    outputs = (size + sum(pads) - kernel) // stride + 1
    pooled = outputs // pool
    arrays = {
        "conv.weight": random.normal(size=(filters, channels, kernel, kernel)) / 255,
        "conv.bias": random.normal(size=filters),
        "dense.bias": random.normal(size=4),
    }
    between = []
    if second is not None:
        kernel_2, pads_2 = second
        pooled += sum(pads_2) - kernel_2 + 1
        arrays["second.weight"] = random.normal(size=(filters, filters, kernel_2, kernel_2))
        arrays["second.bias"] = random.normal(size=filters)
        between = [
            helper.make_node(
                "Conv", ["p", "second.weight", "second.bias"], ["s"], "second",
                kernel_shape=[kernel_2] * 2, pads=[pads_2[0], pads_2[0], pads_2[1], pads_2[1]],
            ),
            helper.make_node("Relu", ["s"], ["t"], "relu_2"),
        ]  # fmt: skip
    arrays["dense.weight"] = random.normal(size=(4, filters * pooled**2))
    nodes = [
        helper.make_node("Cast", ["pixels"], ["x"], "cast", to=TensorProto.FLOAT),
        helper.make_node(
            "Conv", ["x", "conv.weight", "conv.bias"], ["y"], "conv",
            kernel_shape=[kernel] * 2, pads=[pads[0], pads[0], pads[1], pads[1]], strides=[stride] * 2,
        ),
        helper.make_node("Relu", ["y"], ["z"], "relu"),
        helper.make_node(pooling, ["z"], ["p"], "pool", kernel_shape=[pool] * 2, strides=[pool] * 2),
        *between,
        helper.make_node("Flatten", ["t" if between else "p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "dense.weight", "dense.bias"], ["logits"], "dense", transB=1),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", channels, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def noise(*, channels: int = 1, size: int = 12) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (50, channels, size, size), np.uint8)


def test_trained_net(digits_run: Run, digits: ImageData, plain: None) -> None:
    job = export_job(open_run(digits_run))
    before = int8.quantize(build(job), job.calibration_pixels)
    after, applied = rewritten(before)
    assert applied
    for pixels in (digits.test_pixels, noise(size=28), np.full((1, 1, 28, 28), 255, np.uint8)):
        np.testing.assert_array_equal(logits(after, pixels), logits(before, pixels))


@pytest.mark.parametrize(
    ("kernel", "pads"),
    [
        (5, (2, 2)), (5, (0, 0)), (5, (1, 3)), (3, (1, 1)), (3, (0, 2)), (3, (2, 0)), (1, (0, 0)), (4, (1, 2)),
        (7, (3, 3)),
    ],
)  # fmt: skip
def test_every_even_geometry(kernel: int, pads: tuple[int, int], plain: None) -> None:
    for size in (12, 14):  # four pixels in a row, and two by two
        before = int8.quantize(small_net(kernel=kernel, pads=pads, size=size), noise(size=size))
        after, applied = rewritten(before)
        assert applied
        np.testing.assert_array_equal(logits(after, noise(size=size)), logits(before, noise(size=size)))


@pytest.mark.parametrize(("filters", "kernel"), [(7, [6, 3]), (8, [3, 3])])
def test_many_filters_take_blocks_two_by_two(filters: int, kernel: list[int], plain: None) -> None:
    before = int8.quantize(small_net(pads=(2, 2), filters=filters), noise())
    after, _ = rewritten(before)
    conv = next(node for node in after.graph.node if node.op_type == "Conv")
    assert folding.attributes_of(conv)["kernel_shape"] == kernel
    np.testing.assert_array_equal(logits(after, noise()), logits(before, noise()))


@pytest.mark.parametrize(
    ("filters", "second", "paired"),
    [
        (6, (5, (0, 0)), True), (6, (3, (1, 1)), True), (6, (3, (0, 2)), True), (2, (1, (0, 0)), True),
        (2, (2, (1, 0)), True), (6, (4, (1, 2)), True),
        (4, (5, (0, 0)), False),  # aligned as it is
        (3, (5, (0, 0)), False),  # not aligned in pairs either
        (6, (4, (0, 0)), False),  # an odd width
    ],
)  # fmt: skip
def test_the_convolution_behind_it(
    filters: int, second: tuple[int, tuple[int, int]], paired: bool, plain: None
) -> None:
    size = 20  # 8 by 8 after pooling
    before = int8.quantize(small_net(size=size, filters=filters, second=second), noise(size=size))
    after, applied = rewritten(before)
    assert applied
    assert any(node.name.startswith("columns") for node in after.graph.node) == paired
    np.testing.assert_array_equal(logits(after, noise(size=size)), logits(before, noise(size=size)))


@pytest.mark.parametrize(
    "net",
    [
        {"channels": 3},
        {"stride": 2, "pads": (2, 1)},
        {"kernel": 4},  # 9 outputs
        {"size": 13, "kernel": 4},
        {"pooling": "AveragePool"},
        {"pool": 4},
    ],
)
def test_leaves_alone_what_does_not_fit(net: dict[str, object], plain: None) -> None:
    shape = {key: value for key, value in net.items() if key in ("channels", "size")}
    before = int8.quantize(small_net(**net), noise(**shape))  # type: ignore[arg-type]
    after, applied = rewritten(before)
    assert not applied
    assert after.SerializeToString(deterministic=True) == before.SerializeToString(deterministic=True)


def test_quantized_files_have_it(digits_run: Run, digits: ImageData) -> None:
    job = export_job(open_run(digits_run))
    model = int8.quantize(build(job), job.calibration_pixels)
    kernels = [folding.attributes_of(node)["kernel_shape"] for node in model.graph.node if node.op_type == "Conv"]
    assert kernels == [[6, 3], [5, 3]]
