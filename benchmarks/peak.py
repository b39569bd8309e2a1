"""What one core of this machine can do at best: multiply-accumulates a second of a large matrix product."""

import time
from collections.abc import Callable

import numpy as np

SIDE = 1024  # of the matrices: a product takes milliseconds, and its call does not count
REPEATS = 40


def macs_per_second(precision: str) -> float:
    """The best of torch's and onnxruntime's products on one thread, in float32 or in 8-bit integers."""
    return max(SIDE**3 / _best_seconds(make(precision)) for make in (_onnxruntime_product, _torch_product))


def _best_seconds(product: Callable[[], object]) -> float:
    def seconds() -> float:
        start = time.thread_time()  # without what other processes take of the core
        product()
        return time.thread_time() - start

    return min(seconds() for _ in range(REPEATS))


def _torch_product(precision: str) -> Callable[[], object]:
    import torch

    torch.set_num_threads(1)
    if precision == "float32":
        one, other = torch.rand(2, SIDE, SIDE)
        return lambda: one @ other
    left, right = torch.randint(-128, 128, (2, SIDE, SIDE), dtype=torch.int8)
    return lambda: torch._int_mm(left, right)  # the one that reaches VNNI's peak


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
