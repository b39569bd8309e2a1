"""Another tool's float ONNX classifier as the graph that our formats are made of: normalised images in, logits out.

Two steps. `as_logits` moves the output to where the logits are and leaves the rest as it is: what comes of it is the
reference of every file. `as_ours` makes its input float32 [batch, channels, height, width] with an open batch; what
one tool writes otherwise than torch (constants and shapes that are computed, BatchNormalization) is folded by
onnxruntime's basic optimisations, which write ONNX's own operators.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lenet_edge_exporters import canonical, folding
from lenet_edge_exporters.folding import add_constant, attributes_of, is_constant
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.spec import ModelSpec

if TYPE_CHECKING:
    import onnx

OPSET = 18  # that `canonical` reads
BATCH = 2  # of a file that takes any, while shapes are folded
MOVES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
PASSED = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast")  # between a softmax and the output
SIGMOIDS = ("Sigmoid", "HardSigmoid")
INTEGER = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger")
IMAGES, LOGITS = "images", "logits"
RESERVED = ("pixels", "images", "logits", "probabilities")  # names of values that the exporters give


def as_logits(content: bytes, classes: int) -> onnx.ModelProto:
    """The file's graph in float32 with one output, what its last Softmax or LogSoftmax is given where it has one.

    Raises ModelFileError for a graph that is not float, branches, or gives something else than logits.
    """
    import onnx
    from onnx import inliner

    model = onnx.load_from_string(content)
    if model.functions:
        model = inliner.inline_local_functions(model)
    graph = model.graph
    _check_operators(graph)
    _without_constants(graph)
    _in_float32(graph)
    shapes = canonical.shapes_of(model)
    output = _classifying(graph, shapes, classes)
    producers = {name: node for node in graph.node for name in node.output}
    last = producers.get(output)
    while last is not None and last.op_type in PASSED:
        last = producers.get(last.input[0])
    if last is not None and last.op_type in SIGMOIDS:
        raise ModelFileError(
            "it ends in Sigmoid, a probability for each class by itself, where our files give those that sum to 1: "
            "export the net without its last Sigmoid"
        )
    if last is not None and last.op_type in ("Softmax", "LogSoftmax"):
        output = last.input[0]
    while output in producers and producers[output].op_type in PASSED and len(shapes.get(output, [])) > 2:
        output = producers[output].input[0]
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))
    _drop_unread(graph)
    return model


def as_ours(model: onnx.ModelProto, layout: str, image: tuple[int, int, int]) -> onnx.ModelProto:
    """A graph of `as_logits` that takes float32 [batch, channels, height, width] as "images", and gives "logits".

    `layout` is that of its own input (`ForeignInput.layout`), `image` are channels, height and width.
    """
    from onnx import TensorProto, helper

    model = _optimised(_of_opset(model))
    graph = model.graph
    _rename(graph, {name: name + ".theirs" for name in RESERVED})
    shapes = canonical.shapes_of(model)
    _free_batch(graph, shapes)
    _enter(graph, layout, image, shapes)
    _leave(graph, shapes)
    graph.input[0].CopyFrom(helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, ["batch", *image]))
    del graph.value_info[:]
    taken: set[str] = set()
    for number, node in enumerate(graph.node):
        node.name = node.name if node.name and node.name not in taken else f"{node.op_type}_{number}"
        taken.add(node.name)
    return model


def take_pixels(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Put padding and normalisation before a graph of `as_ours`, in the form that `folding` knows, in place."""
    from onnx import TensorProto, helper

    graph = model.graph
    mean, std = (np.asarray(values, np.float64).reshape(1, -1, 1, 1) for values in (spec.mean, spec.std))
    scale = add_constant(graph, "pixels.scale", (1 / (255 * std)).astype(np.float32))
    shift = add_constant(graph, "pixels.minus_mean", (-mean / std).astype(np.float32))
    made = [helper.make_node("Cast", ["pixels"], ["pixels.float"], "pixels.float", to=TensorProto.FLOAT)]
    if spec.padding:
        border = add_constant(graph, "pixels.border", np.array([0, 0, *[spec.padding] * 2] * 2))
        made.append(helper.make_node("Pad", [made[-1].output[0], border], ["pixels.padded"], "pixels.padded"))
    made.append(helper.make_node("Mul", [made[-1].output[0], scale], ["pixels.scaled"], "pixels.scaled"))
    made.append(helper.make_node("Add", ["pixels.scaled", shift], [IMAGES], "pixels.normalised"))
    for node in reversed(made):
        graph.node.insert(0, node)
    shape: list[str | int | None] = ["batch", *spec.pixel_shape]
    graph.input[0].CopyFrom(helper.make_tensor_value_info("pixels", TensorProto.UINT8, shape))


def parameters(model: onnx.ModelProto) -> int:
    """Weights and biases: the float numbers of a graph of `as_ours`."""
    return sum(int(np.prod(item.dims)) for item in model.graph.initializer if item.data_type == 1 and item.dims)


def _check_operators(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        if node.op_type in INTEGER or node.op_type.startswith("QLinear"):
            raise ModelFileError(f"it is quantized already ({node.op_type}): export its float32 file")
        if node.domain not in ("", "ai.onnx"):
            raise ModelFileError(
                f"it has the operator {node.domain}::{node.op_type}, which is none of ONNX's own: export the net anew, "
                f"without optimising it for one runtime"
            )
        if any(item.HasField("g") or item.graphs for item in node.attribute):
            raise ModelFileError(f"it branches by its {node.op_type}: no format of ours has such steps")


def _without_constants(graph: onnx.GraphProto) -> None:
    """Constant nodes as initializers, and no initializer as an input."""
    for node in [node for node in graph.node if node.op_type == "Constant"]:
        value = attributes_of(node).get("value")
        if value is None:
            continue  # a number or text, which onnxruntime folds
        value.name = node.output[0]
        graph.initializer.append(value)
        graph.node.remove(node)
    for item in [item for item in graph.input if is_constant(graph, item.name)]:
        graph.input.remove(item)


def _in_float32(graph: onnx.GraphProto) -> None:
    """float16 and double as float32."""
    from onnx import TensorProto, numpy_helper

    others = (TensorProto.FLOAT16, TensorProto.DOUBLE)
    tensors = [*graph.initializer, *(item.t for node in graph.node for item in node.attribute if item.HasField("t"))]
    for tensor in tensors:
        if tensor.data_type in others:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for node in graph.node:
        for item in node.attribute:
            if node.op_type == "Cast" and item.name == "to" and item.i in others:
                item.i = TensorProto.FLOAT
    for value in [*graph.input, *graph.output]:
        if value.type.tensor_type.elem_type in others:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    del graph.value_info[:]


def _classifying(graph: onnx.GraphProto, shapes: canonical.Shapes, classes: int) -> str:
    """The output that has a number for each class, as `worker.run` chooses it where shapes tell."""
    for item in graph.output:
        if [size for size in shapes.get(item.name, [])[1:] if size != 1] == [classes]:
            return str(item.name)
    if len(graph.output) == 1:
        return str(graph.output[0].name)
    found = ", ".join(f"{item.name} {shapes.get(item.name, '')}" for item in graph.output)
    raise ModelFileError(f"none of its outputs ({found}) has {classes} numbers an image, one for each label")


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Remove the nodes that lead to no output."""
    wanted = {item.name for item in graph.output}
    for node in reversed(list(graph.node)):
        if wanted.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            wanted |= set(node.input)
    folding.drop_unused(graph)


def _of_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnx import version_converter

    found = next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if found >= OPSET:
        return model
    try:
        return version_converter.convert_version(model, OPSET)
    except Exception as error:  # onnx raises errors of several kinds
        reason = " ".join(str(error).split())[:160]
        raise ModelFileError(f"its operator set {found} does not become {OPSET} ({reason}): export it anew") from None


def _optimised(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with a fixed batch, after onnxruntime's basic optimisations."""
    import onnx
    import onnxruntime

    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    batch.dim_value = batch.dim_value or BATCH
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        options.optimized_model_filepath = str(path)
        try:
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a dozen types of its own, with no common base
            reason = " ".join(str(error).split())[:200]
            raise ModelFileError(f"onnxruntime does not take its graph in float32 ({reason})") from None
        found = onnx.load(path)
    _without_constants(found.graph)
    used = {node.domain for node in found.graph.node}
    kept = [entry for entry in found.opset_import if entry.domain in used or entry.domain == ""]
    del found.opset_import[:]
    found.opset_import.extend(kept)
    return found


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(name, name) for name in values]
    for item in [*graph.input, *graph.output, *graph.initializer]:
        item.name = names.get(item.name, item.name)


def _free_batch(graph: onnx.GraphProto, shapes: canonical.Shapes) -> None:
    """Make each Reshape keep the batch, whatever it is, in place of the number that shapes were folded with."""
    batch = shapes[graph.input[0].name][0]
    for node in [node for node in graph.node if node.op_type == "Reshape"]:
        before, after = shapes.get(node.input[0], []), shapes.get(node.output[0], [])
        if before[:1] != [batch] or after[:1] != [batch] or not all(after):
            raise ModelFileError(
                f"its {node.op_type} {node.name} from {before} to {after} does not keep images apart: export the net "
                f"with an open batch"
            )
        if len(after) == 2:
            node.op_type = "Flatten"
            del node.input[1:], node.attribute[:]
        else:
            name = f"{node.output[0]}.shape"
            node.input[1] = add_constant(graph, name, np.array([0, *after[1:]], np.int64))
    folding.drop_unused(graph)


def _enter(graph: onnx.GraphProto, layout: str, image: Sequence[int], shapes: canonical.Shapes) -> None:
    """Let the graph read IMAGES, [batch, channels, height, width], where it has them so itself, or lay them out."""
    from onnx import helper

    name = graph.input[0].name
    in_order = layout != "NHWC" or image[0] == 1  # the numbers of an image follow each other as IMAGES'
    while len(readers := [node for node in graph.node if name in node.input]) == 1 and name != graph.output[0].name:
        (node,) = readers
        if node.op_type not in MOVES or node.input[0] != name:
            break
        if node.op_type == "Transpose":
            order = list(attributes_of(node)["perm"])
            long = [axis for axis in order if axis == 0 or shapes[name][axis] != 1]
            if not (in_order and long == sorted(long)) and not (not in_order and order == [0, 3, 1, 2]):
                break
            in_order = True
        elif not in_order:
            break
        graph.node.remove(node)
        name = node.output[0]
    size = shapes[name][1:]
    if in_order and size == list(image):
        _rename(graph, {name: IMAGES})
        return
    if not in_order:
        made = helper.make_node("Transpose", [IMAGES], [name], "images.laid_out", perm=[0, 2, 3, 1])
    elif len(size) == 1:
        made = helper.make_node("Flatten", [IMAGES], [name], "images.row", axis=1)
    else:
        shape = add_constant(graph, "images.shape", np.array([0, *size], np.int64))
        made = helper.make_node("Reshape", [IMAGES, shape], [name], "images.laid_out")
    graph.node.insert(0, made)


def _leave(graph: onnx.GraphProto, shapes: canonical.Shapes) -> None:
    """Give [batch, classes], by a Flatten where classes stand among axes of 1."""
    from onnx import TensorProto, helper

    name = graph.output[0].name
    size = shapes[name][1:]
    if len(size) == 1:
        _rename(graph, {name: LOGITS})
    else:
        graph.node.append(helper.make_node("Flatten", [name], [LOGITS], "logits.row", axis=1))
    classes = int(np.prod(size))
    graph.output[0].CopyFrom(helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["batch", classes]))
