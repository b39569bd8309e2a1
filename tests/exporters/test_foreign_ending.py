"""The last layer of another tool's graph changed, against onnxruntime on the graph as it was."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lenet_edge_exporters.foreign_ending import divide_logits, put_in_order
from lenet_edge_exporters.foreign_graph import as_logits
from lenet_edge_runtime.errors import ModelFileError

CLASSES = 5
Ending = tuple[list[onnx.NodeProto], dict[str, tuple[int, ...]]]


def node(kind: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


ENDINGS: dict[str, Callable[[], Ending]] = {
    "dense": lambda: (
        [node("Flatten", "x", "row"), node("Gemm", "row w b", "y", transB=1)],
        {"w": (CLASSES, 48), "b": (CLASSES,)},
    ),
    "dense, weights [inputs, outputs]": lambda: (
        [node("Flatten", "x", "row"), node("Gemm", "row w b", "y")],
        {"w": (48, CLASSES), "b": (CLASSES,)},
    ),
    "product and sum, softmax": lambda: (
        [node("Flatten", "x", "row"), node("MatMul", "row w", "p"), node("Add", "b p", "s"), node("Softmax", "s", "y")],
        {"w": (48, CLASSES), "b": (CLASSES,)},
    ),
    "one number for all": lambda: (
        [node("Flatten", "x", "row"), node("MatMul", "row w", "p"), node("Add", "p b", "y")],
        {"w": (48, CLASSES), "b": (1,)},
    ),
    "convolution and mean": lambda: (
        [node("Conv", "x w b", "maps"), node("GlobalAveragePool", "maps", "means"), node("Flatten", "means", "y")],
        {"w": (CLASSES, 3, 2, 2), "b": (CLASSES,)},
    ),
    "shared weights": lambda: (
        [
            node("Flatten", "x", "row"),
            node("Gemm", "row v", "first"),
            node("Gemm", "first w b", "second"),
            node("Gemm", "second w b", "y"),
        ],
        {"v": (48, CLASSES), "w": (CLASSES, CLASSES), "b": (CLASSES,)},
    ),
}


def graph_of(ending: Ending) -> onnx.ModelProto:
    nodes, shapes = ending
    generator = np.random.default_rng(0)
    graph = helper.make_graph(
        nodes,
        "theirs",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, CLASSES])],
        [
            numpy_helper.from_array(generator.normal(size=shape).astype(np.float32), name)
            for name, shape in shapes.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def answers(model: onnx.ModelProto) -> NDArray[np.float32]:
    images = np.random.default_rng(1).normal(size=(2, 3, 4, 4)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, {"x": images})[0].reshape(2, -1)
    return found


@pytest.mark.parametrize("name", ENDINGS)
def test_each_class_comes_out_at_its_new_place(name: str) -> None:
    model = as_logits(graph_of(ENDINGS[name]()).SerializeToString(), CLASSES)
    before, order = answers(model), [3, 0, 4, 2, 1]
    put_in_order(model, order)
    np.testing.assert_allclose(answers(model), before[:, order], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ENDINGS)
def test_logits_are_divided(name: str) -> None:
    model = as_logits(graph_of(ENDINGS[name]()).SerializeToString(), CLASSES)
    before = answers(model)
    put_in_order(model, range(CLASSES))
    divide_logits(model, 2.5)
    np.testing.assert_allclose(answers(model), before / 2.5, rtol=1e-5, atol=1e-6)


def test_other_endings_are_refused() -> None:
    model = graph_of(
        ([node("Flatten", "x", "row"), node("Gemm", "row w", "p"), node("Tanh", "p", "y")], {"w": (48, 5)})
    )
    with pytest.raises(ModelFileError, match="it ends in Tanh and no layer with weights: export the net"):
        put_in_order(model, [1, 0, 2, 3, 4])
    with pytest.raises(ModelFileError, match="it ends in Tanh and no layer with weights"):
        divide_logits(model, 2.0)
