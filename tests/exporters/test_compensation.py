"""Weights rounded for the layer's sums: never worse than to the nearest code, and like the paper's algorithm.

The oracles are algorithm 1 of Frantar et al. 2022 written out, onnxruntime's convolutions, and the float32 network.
"""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from generated_networks import draw
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from export_jobs import USER_SPEC, make_job
from lenet_edge_exporters import ExportJob, int8
from lenet_edge_exporters.int8 import rounding
from lenet_edge_exporters.int8.weights import neighbours, scales
from lenet_edge_exporters.int8.windows import products_of, windows_of
from lenet_edge_exporters.known_answers import OnnxLogits
from lenet_edge_exporters.onnx import build
from lenet_edge_exporters.pixels import torch_model

SHAPES = [(25,), (7,), (1, 5, 5), (6, 3, 3), (8, 2, 2), (16, 1, 1), (4, 3)]


def drawn_layer(seed: int, shape: tuple[int, ...], outputs: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights [outputs, inputs], their scales, and inputs [200, inputs] as neighbouring pixels are: alike, some 0."""
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=(outputs, *shape)).astype(np.float32)
    size = weights[0].size
    mixed = generator.normal(size=(200, 4)) @ generator.normal(size=(4, size)) + generator.normal(size=(200, size))
    inputs = np.clip(np.rint(60 * mixed), 0, 255)
    inputs[:, generator.random(size) < 0.1] = 0
    return weights.reshape(outputs, size).astype(np.float64), scales(weights).astype(np.float64), inputs


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shape=st.sampled_from(SHAPES))
def test_no_sum_is_worse_than_with_the_nearest_codes(seed: int, shape: tuple[int, ...]) -> None:
    weights, steps, inputs = drawn_layer(seed, shape)
    made = rounding.rounded(weights, steps, products_of(inputs, (inputs.shape[1],)), neighbours(shape))
    sums = inputs @ weights.T
    errors = sums - inputs @ (made.codes * steps[:, None]).T - made.gain
    nearest = sums - inputs @ (np.rint(weights / steps[:, None]) * steps[:, None]).T
    assert (np.square(errors).sum(0) <= np.square(nearest - nearest.mean(0)).sum(0) * (1 + 1e-9)).all()
    np.testing.assert_allclose(errors.mean(0), 0, atol=1e-9 * np.abs(sums).max())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shape=st.sampled_from(SHAPES))
def test_neighbours_of_one_sign_never_exceed_128(seed: int, shape: tuple[int, ...]) -> None:
    """In both orders, and of a grey image wherever pairs begin."""
    weights, steps, inputs = drawn_layer(seed, shape)
    codes = rounding.rounded(weights, steps, products_of(inputs, (inputs.shape[1],)), neighbours(shape)).codes
    images = codes.reshape(-1, *shape)
    orders = [codes, np.moveaxis(images, 1, -1).reshape(codes.shape)]
    orders += [codes[:, 1:]] if shape[0] == 1 else []
    for order in orders:
        even = order[:, : order.shape[1] // 2 * 2].reshape(len(order), -1, 2)
        assert even.clip(min=0).sum(2).max() <= 128
        assert even.clip(max=0).sum(2).min() >= -128
    assert np.abs(codes).max() <= 127


def test_codes_are_those_of_the_papers_algorithm() -> None:
    weights, steps, inputs = drawn_layer(1, (25,), outputs=40)
    products = products_of(inputs, (25,))
    codes = rounding._in_turn(weights, steps, products, np.full((2, 25), -1))
    centred = inputs - inputs.mean(0)  # the bias takes the mean
    squares = centred.T @ centred + rounding.DAMPING * np.square(inputs).sum(0).mean() * np.eye(25)
    factors = np.linalg.cholesky(np.linalg.inv(squares)).T
    left = weights.copy()
    for i in range(25):
        expected = np.clip(np.rint(left[:, i] / steps), -127, 127)
        np.testing.assert_array_equal(codes[:, i], expected)
        left[:, i:] -= ((left[:, i] - expected * steps) / factors[i, i])[:, None] * factors[i, i:]


@pytest.mark.parametrize("auto_pad", ["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize(("kernel", "strides", "dilations"), [((3, 4), (1, 1), (1, 1)), ((2, 3), (2, 3), (1, 2))])
def test_windows_are_those_that_onnxruntime_sums_over(
    auto_pad: str, kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]
) -> None:
    if auto_pad.startswith("SAME"):
        dilations = (1, 1)  # onnxruntime has no others there
    generator = np.random.default_rng(0)
    inputs = generator.integers(0, 9, (2, 3, 11, 10)).astype(np.float32)
    weights = generator.integers(-9, 9, (4, 3, *kernel)).astype(np.float32)
    pads = {"pads": [1, 0, 2, 1]} if auto_pad == "NOTSET" else {}
    conv = helper.make_node(
        "Conv", ["x", "w"], ["y"], auto_pad=auto_pad, strides=strides, dilations=dilations, **pads
    )  # fmt: skip
    graph = helper.make_graph(
        [conv],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    windows = windows_of(conv, inputs, kernel)
    sums = windows.reshape(*windows.shape[:3], -1) @ weights.reshape(4, -1).T
    np.testing.assert_array_equal(np.moveaxis(sums, -1, 1), session.run(None, {"x": inputs})[0])


def test_products_of_a_sample_stand_for_all() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (300, 300, 3))
    found = products_of(rows, (3,))
    flat = np.concatenate([rows.reshape(-1, 3), np.ones((90_000, 1))], 1)
    expected = flat.T @ flat / len(flat)
    np.testing.assert_allclose(found / found[-1, -1], expected, rtol=0.03)


# --- whole networks ------------------------------------------------------------------------------------------------


def quantized(job: ExportJob, *flags: bool) -> list[onnx.ModelProto]:
    """The graph in int8, `compensated` as these say."""
    prepared = int8.prepare(build(job))
    images = job.as_input(job.calibration_pixels)
    ranges = int8.calibrate(prepared, images, "minmax")
    return [int8.quantize_layers(prepared, ranges, images, compensated=flag, widen=False) for flag in flags]


@pytest.mark.parametrize("net", ["lenet5", "lenet5-classic", "user's own", 12, 16])
def test_logits_of_the_calibration_images_are_nearer_and_right_in_the_mean(net: str | int) -> None:
    """All of these networks end in a dense layer with a bias, which makes up for every mean error before it."""
    job = make_job(net) if isinstance(net, str) else draw(net).job
    exact = torch_model(job.net, job.spec).logits(job.calibration_pixels)
    plain, made = (
        OnnxLogits(model.SerializeToString()).logits(job.calibration_pixels) - exact
        for model in quantized(job, False, True)
    )
    assert np.abs(made).mean() < np.abs(plain).mean()
    assert np.abs(made.mean(0)).max() < 0.05 * np.abs(plain.mean(0)).max()


def test_same_images_give_the_same_bytes() -> None:
    first, again = quantized(make_job("user's own"), True, True)
    assert first.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)


def test_a_layer_without_bias_and_one_without_light() -> None:
    """Nothing can make up for a mean error there; nothing is divided by zero."""
    job = make_job("user's own")
    black = np.zeros_like(job.calibration_pixels)
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4, bias=False), nn.Flatten(),
        nn.LazyLinear(3, bias=False),
    )  # fmt: skip
    net(torch.zeros(1, *USER_SPEC.pixel_shape))
    (model,) = quantized(replace(job, net=net.eval(), calibration_pixels=black), True)
    assert np.isfinite(OnnxLogits(model.SerializeToString()).logits(job.check_pixels)).all()


def dense_graph(**attributes: float) -> onnx.ModelProto:
    """Two dense layers of the same weights, or one that scales its sums."""
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(8, 8)).astype(np.float32)
    bias = generator.normal(size=8).astype(np.float32)
    first = helper.make_node("Gemm", ["images", "w", "b"], ["h"], "first", transB=1, **attributes)
    nodes = [first] if attributes else [first, helper.make_node("Relu", ["h"], ["r"], "relu")]
    if not attributes:
        nodes.append(helper.make_node("Gemm", ["r", "w", "b"], ["logits"], "second", transB=1))
    else:
        first.output[0] = "logits"
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("attributes", [{}, {"alpha": 0.5}, {"beta": 2.0}])
def test_shared_weights_and_scaled_sums_are_rounded_to_the_nearest_code(attributes: dict[str, float]) -> None:
    model = int8.prepare(dense_graph(**attributes))
    images = np.random.default_rng(1).normal(size=(64, 8)).astype(np.float32)
    ranges = int8.calibrate(model, images, "minmax")
    made, plain = (int8.quantize_layers(model, ranges, images, compensated=flag) for flag in (True, False))
    assert made.SerializeToString(deterministic=True) == plain.SerializeToString(deterministic=True)
