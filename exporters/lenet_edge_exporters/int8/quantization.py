"""Static int8 ONNX with onnxruntime's quantizer, in the form that gives the same answers on every CPU.

uint8 activations and int8 weights with a scale per channel, chosen so that no kernel saturates (`weights`). The pixels
are the quantized input (scale 1, zero point 0; a float32 input is quantized by a first QuantizeLinear instead), and the
logits stay in float. tanh becomes a sigmoid, which has an integer kernel (`activations`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lenet_edge_exporters import activations, border, elementwise, folding
from lenet_edge_exporters.export_job import Images, Int8Options, Layers
from lenet_edge_exporters.flattening import flatten_channels_last
from lenet_edge_exporters.int8 import weights
from lenet_edge_exporters.int8.calibration import CalibrationReader, Ranges, calibrate, library_kept_quiet
from lenet_edge_exporters.int8.compensation import compensate
from lenet_edge_exporters.int8.naming import shorten
from lenet_edge_exporters.layers import chosen_layers, left_in_float
from lenet_edge_exporters.onnx import INPUT, OUTPUT
from lenet_edge_exporters.pixel_blocks import widen_first_convolution

if TYPE_CHECKING:
    import onnx

CAST = "pixels_as_float"
SUMMING = ("Gemm", "MatMul")  # whose integer kernels give float sums too


def quantize(model: onnx.ModelProto, calibration_images: Images, options: Int8Options | None = None) -> onnx.ModelProto:
    """Quantize the float32 graph of `onnx.build`; its input, of which the images are some, and its logits stay."""
    options = options or Int8Options()
    prepared = prepare(model)
    ranges = calibrate(prepared, calibration_images, options.calibration_method)
    return quantize_layers(prepared, ranges, calibration_images, options.layers)


def prepare(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the graph of `onnx.build` in the form that is calibrated and quantized."""
    model = _with_float_input(model)
    border.to_whole_levels(model.graph)
    folding.drop_unused(model.graph)
    # What the quantizer's own pre-processing would do is done; without this mark it warns through the root logger.
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    return model


def quantize_layers(
    model: onnx.ModelProto,
    ranges: Ranges,
    images: Images,
    layers: Layers = "all",
    *,
    compensated: bool = True,
    widen: bool = True,
) -> onnx.ModelProto:
    """Quantize the chosen layers of a `prepare`d graph, with the given ranges of its activations.

    Each layer takes the operators behind it along, up to the next layer. An input of pixels becomes uint8 again.
    With `compensated` the weights are rounded for these calibration `images`, as the graph takes them, and to the
    nearest code else. What is rewritten afterwards is compared on the images; with `widen` it is rewritten for
    onnxruntime.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    overrides: dict[str, list[dict[str, Any]]] = {
        name: [{"rmin": np.array(low, np.float32), "rmax": np.array(high, np.float32)}]
        for name, (low, high) in ranges.items()
    }
    functions = elementwise.functions_of(model.graph)
    in_tables = {node.name for function in functions for node in function.nodes}
    overrides |= activations.overrides(model, ranges, in_tables)
    overrides |= _input_override(model.graph)
    overrides |= weights.overrides(model, overrides)
    left_out = [*in_tables, *(node.name for node in border.pads_of(model.graph))]
    with tempfile.TemporaryDirectory() as folder, library_kept_quiet():
        path = Path(folder) / "model.onnx"
        quantize_static(
            _copy_of(model),  # it moves the weights of what it is given into a file
            path,
            CalibrationReader(model.graph.input[0].name, images[:1]),  # asked for, and overridden by `ranges`
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QUInt8,
            per_channel=True,
            op_types_to_quantize=activations.quantized_operators(),
            nodes_to_exclude=[*left_in_float(model, chosen_layers(model, layers)), *left_out],
            extra_options={"WeightSymmetric": True, "TensorQuantOverrides": overrides},
        )
        quantized = onnx.load(path)
    if compensated:
        compensate(quantized, model, images)
    _take_pixels(quantized.graph)
    border.take_pixels_as_codes(quantized.graph, INPUT)
    _leave_logits_in_float(quantized.graph)
    elementwise.put_tables(quantized, functions)
    del quantized.graph.value_info[:]
    activations.replace_tanh(quantized, images)
    if widen:
        flatten_channels_last(quantized)
        widen_first_convolution(quantized)
        _show_relu(quantized.graph)
    shorten(quantized.graph)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized


def _takes_pixels(graph: onnx.GraphProto) -> bool:
    return bool(graph.input[0].name == INPUT)


def _input_override(graph: onnx.GraphProto) -> dict[str, list[dict[str, Any]]]:
    """Pixels are their own codes, also when they are moved; a normalised input is calibrated like any other tensor."""
    if not _takes_pixels(graph):
        return {}
    shift, one = border.shift_of(graph), np.array(1, np.float32)
    overrides = {INPUT: [{"scale": one, "zero_point": np.array(0, np.uint8)}]}
    for node in graph.node:
        if node.op_type in elementwise.MOVES and node.input[0] in overrides:
            overrides[node.output[0]] = overrides[INPUT]
    if shift is not None:
        overrides[shift.output[0]] = [{"scale": one, "zero_point": np.array(border.zero_point_of(graph), np.uint8)}]
    return overrides


def _with_float_input(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose input is float32: the quantizer takes no integer for an activation."""
    import onnx

    copy = _copy_of(model)
    if not _takes_pixels(copy.graph):
        return copy
    cast = next(node for node in copy.graph.node if node.op_type == "Cast" and node.input[0] == INPUT)
    _rename_reads(copy.graph, cast.output[0], INPUT)
    copy.graph.node.remove(cast)
    copy.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return copy


def _copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _take_pixels(graph: onnx.GraphProto) -> None:
    """Take uint8 again: where the first layer is quantized the pixels are its input, elsewhere they are cast.

    The QuantizeLinear at the input (scale 1, zero point 0: the identity) goes; a float32 input keeps its own.
    """
    import onnx

    if not _takes_pixels(graph):
        return
    readers = [node for node in graph.node if INPUT in node.input]
    for node in readers:
        if node.op_type == "QuantizeLinear":
            _rename_reads(graph, node.output[0], INPUT)
            graph.node.remove(node)
    in_float = [node for node in readers if node.op_type != "QuantizeLinear"]
    for node in in_float:
        node.input[:] = [CAST if name == INPUT else name for name in node.input]
    if in_float:
        graph.node.insert(0, onnx.helper.make_node("Cast", [INPUT], [CAST], CAST, to=onnx.TensorProto.FLOAT))
    graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8


def _leave_logits_in_float(graph: onnx.GraphProto) -> None:
    """Delete the pair of QuantizeLinear and DequantizeLinear before the output, where there is one."""
    producers = {name: node for node in graph.node for name in node.output}
    dequantize = producers[OUTPUT]
    quantize = producers.get(dequantize.input[0])
    if dequantize.op_type != "DequantizeLinear" or quantize is None or quantize.op_type != "QuantizeLinear":
        return
    last = producers[quantize.input[0]]
    if last.op_type not in SUMMING:
        return  # its integer kernel gives codes
    last.output[0] = OUTPUT
    graph.node.remove(quantize)
    graph.node.remove(dequantize)


def _show_relu(graph: onnx.GraphProto) -> None:
    """Put a Relu between a dense layer and codes whose zero point is 0: it changes none of them.

    OpenCV 5.0 else joins the layer with what quantizes it, and fails at weights with a zero point, without which
    onnxruntime computes dense layers in float. onnxruntime takes the Relu out (its rule ReluQuantFusion).
    """
    import onnx

    for index, node in reversed(list(enumerate(graph.node))):
        after = [reader for reader in graph.node if node.output[0] in reader.input]
        if node.op_type == "Gemm" and [reader.op_type for reader in after] == ["QuantizeLinear"]:
            (quantize,) = after
            if folding.initializer(graph, quantize.input[2]) == 0:
                name = node.output[0] + "_relu"
                graph.node.insert(index + 1, onnx.helper.make_node("Relu", [node.output[0]], [name], name))
                quantize.input[0] = name


def _rename_reads(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
