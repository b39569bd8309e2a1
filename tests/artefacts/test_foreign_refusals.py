"""What `export theirs.onnx` refuses: one line that says why and what to do, and nothing is left behind."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from command_line import CommandLine

DENSE = [helper.make_node("Flatten", ["x"], ["row"]), helper.make_node("Gemm", ["row", "w"], ["z"])]


def value(name: str, shape: list[object], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def branch(operator: str) -> onnx.GraphProto:
    return helper.make_graph([helper.make_node(operator, ["z"], ["out"])], operator, [], [value("out", ["n", 10])])


ENDS: dict[str, tuple[list[onnx.NodeProto], str]] = {
    "sigmoid": (
        [helper.make_node("Sigmoid", ["z"], ["y"])],
        "theirs.onnx: it ends in Sigmoid, a probability for each class by itself.*export the net without its last",
    ),
    "quantized": (
        [
            helper.make_node("QuantizeLinear", ["z", "scale", "zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
        ],
        r"theirs.onnx: it is quantized already \(QuantizeLinear\): export its float32 file",
    ),
    "branches": (
        [
            helper.make_node("ReduceMax", ["z"], ["top"], keepdims=0),
            helper.make_node("Cast", ["top"], ["is"], to=TensorProto.BOOL),
            helper.make_node("If", ["is"], ["y"], then_branch=branch("Identity"), else_branch=branch("Neg")),
        ],
        "theirs.onnx: it branches by its If: no format of ours has such steps",
    ),
    "another runtime's": (
        [helper.make_node("Gelu", ["z"], ["y"], domain="com.microsoft")],
        "theirs.onnx: it has the operator com.microsoft::Gelu, which is none of ONNX's own: export the net anew",
    ),
    "nobody's": (
        [helper.make_node("Magic", ["z"], ["y"], domain="acme")],
        "theirs.onnx has the operator acme::Magic; only those of .* are run",
    ),
    "too few classes": (
        [helper.make_node("Slice", ["z", "from", "to", "axis"], ["y"])],
        r"theirs.onnx has no output of float .*10\], one column per label; got float32 .*7",
    ),
}


def write(nodes: list[onnx.NodeProto], path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(784, 10)).astype(np.float32)
    constants = {
        "w": weights, "scale": np.float32(0.1), "zero": np.uint8(9),
        "from": np.array([0]), "to": np.array([7]), "axis": np.array([1]),
    }  # fmt: skip
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "theirs",
        [value("x", ["n", 1, 28, 28])],
        [value("y", ["n", "classes"])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items() if name in used],
    )
    domains = ["", *sorted({node.domain for node in nodes if node.domain})]
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid(name, 17 if not name else 1) for name in domains]
    )
    model.ir_version = 8
    onnx.save(model, path)


@pytest.mark.parametrize("name", ENDS)
def test_refusal_is_one_line_and_leaves_nothing(name: str, cli: CommandLine) -> None:
    end, message = ENDS[name]
    write([*DENSE, *end], cli.folder / "theirs.onnx")
    said = cli.fails(
        "export", "theirs.onnx", "--dataset", "digits", "--mean", "0", "--std", "1", "--accept-accuracy", "--int8"
    )
    assert re.search(message, said), said
    assert {path.name for path in cli.folder.iterdir()} - {"cache"} == {"theirs.onnx"}


@pytest.mark.parametrize("options", [(), ("--mean", "0", "--std", "1"), ("--scale", "255")])
def test_raw_pixels_are_refused(options: tuple[str, ...], cli: CommandLine) -> None:
    nodes = [helper.make_node("Cast", ["pixels"], ["x"], to=TensorProto.FLOAT), *DENSE]
    write([*nodes, helper.make_node("Identity", ["z"], ["y"])], cli.folder / "theirs.onnx")
    model = onnx.load(cli.folder / "theirs.onnx")
    model.graph.input[0].CopyFrom(value("pixels", ["n", 1, 28, 28], TensorProto.UINT8))
    onnx.save(model, cli.folder / "theirs.onnx")
    said = cli.fails("export", "theirs.onnx", "--dataset", "digits", *options)
    assert "theirs.onnx takes uint8 pixels and normalises them itself: export the net from normalised" in said
    assert {path.name for path in cli.folder.iterdir()} - {"cache"} == {"theirs.onnx"}
