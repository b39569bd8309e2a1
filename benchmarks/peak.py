"""What one core of this machine can do at best: multiply-accumulates a second of a large matrix product."""

import time
from collections.abc import Callable

import numpy as np

SIDE = 1024  # of the matrices: a product takes milliseconds, and its call does not count
REPEATS = 20


def macs_per_second(precision: str) -> float:
    """The best product on one thread: float32 by torch and onnxruntime, int8 (uint8 by uint8) by onnxruntime."""
    products = [_onnxruntime_product(precision), *([_torch_product()] if precision == "float32" else [])]
    return max(SIDE**3 / _best_seconds(product) for product in products)


def _best_seconds(product: Callable[[], object]) -> float:
    def seconds() -> float:
        start = time.perf_counter()
        product()
        return time.perf_counter() - start

    return min(seconds() for _ in range(REPEATS))


def _torch_product() -> Callable[[], object]:
    import torch

    torch.set_num_threads(1)
    one, other = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    return lambda: one @ other


def _onnxruntime_product(precision: str) -> Callable[[], object]:
    import onnxruntime
    from onnx import TensorProto, helper

    operator, given, wanted, dtype = {
        "float32": ("MatMul", TensorProto.FLOAT, TensorProto.FLOAT, np.float32),
        "int8": ("MatMulInteger", TensorProto.UINT8, TensorProto.INT32, np.uint8),
    }[precision]
    shape = [SIDE, SIDE]
    inputs = [helper.make_tensor_value_info(name, given, shape) for name in "ab"]
    outputs = [helper.make_tensor_value_info("c", wanted, shape)]
    graph = helper.make_graph([helper.make_node(operator, ["a", "b"], ["c"])], "product", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    matrices = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE)).astype(dtype)
    feed = dict(zip("ab", matrices, strict=True))
    return lambda: session.run(None, feed)
