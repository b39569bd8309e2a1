"""Static int8 ONNX with onnxruntime's quantizer, in the form that gives the same answers on every CPU.

uint8 activations and symmetric uint8 weights per channel (zero point 128: int8 weights in disguise). With them no
kernel can saturate: onnxruntime's default (signed weights) runs through x86's VPMADDUBSW, whose 16-bit sums clip on
machines without VNNI, and answers differently there. The pixels are the quantized input (scale 1, zero point 0;
a float32 input is quantized by a first QuantizeLinear instead), and the logits stay in float. tanh becomes a sigmoid,
which has an integer kernel (`activations`).
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lenet_edge_exporters import activations, executed, folding
from lenet_edge_exporters.export_job import CalibrationMethod, ExportJob, Images, Int8Options, Layers
from lenet_edge_exporters.layers import chosen_layers, layers_of, left_in_float
from lenet_edge_exporters.onnx import INPUT, OUTPUT, build, serialise
from lenet_edge_exporters.pixel_blocks import widen_first_convolution

if TYPE_CHECKING:
    import onnx


CAST = "pixels_as_float"
ENDINGS = {"_quantized_scale": ".q8s", "_quantized": ".q8", "_zero_point": ".z", "_scale": ".s"}
# A histogram spans -t to t, a uint8 activation behind a ReLU 0 to t: 512 levels are 256 on the side that is used.
ENTROPY_HISTOGRAM = {"num_bins": 1024, "num_quantized_bins": 512}
Ranges = dict[str, tuple[float, float]]  # activation -> least and greatest value that it is to hold


def export(job: ExportJob) -> bytes:
    """The network with weights and activations in 8 bits, calibrated on the job's training images."""
    return exporter(job)(job.int8.layers)


def exporter(job: ExportJob, model: onnx.ModelProto | None = None) -> Callable[[Layers], bytes]:
    """Calibrate once; the result gives the file's bytes for any choice of layers. `model`: `onnx.build(job)`."""
    prepared = prepare(model or build(job))
    images, ranges, calibration = _calibrated(job, prepared)

    def content(layers: Layers) -> bytes:
        chosen = [{"node": layer.node, "op_type": layer.op_type} for layer in chosen_layers(prepared, layers)]
        quantized = quantize_layers(prepared, ranges, images, layers)
        own = {
            **_as_metadata("calibration", calibration),
            **_as_metadata("int8_layers", chosen),
            **_as_metadata("float_nodes", executed.float_nodes(quantized.SerializeToString())),
        }
        return serialise(quantized, {**job.metadata("int8"), **own})

    return content


def plain_graph(job: ExportJob) -> onnx.ModelProto:
    """The graph of `export(job)`, all layers in int8, with the first convolution as the network has it.

    For exporters that bring kernels of their own: `pixel_blocks` rewrites it for onnxruntime's.
    """
    prepared = prepare(build(job))
    images, ranges, _ = _calibrated(job, prepared)
    return quantize_layers(prepared, ranges, images, widen=False)


def _calibrated(job: ExportJob, prepared: onnx.ModelProto) -> tuple[Images, Ranges, dict[str, Any]]:
    """The calibration images as the graph takes them, the ranges of its activations, and how those were found."""
    if job.calibration_pixels is None or not len(job.calibration_pixels):
        raise ValueError("int8 needs calibration images: training images, uint8 [n, c, h, w]")
    images = job.as_input(job.calibration_pixels)
    ranges = calibrate(prepared, images, job.int8.calibration_method)
    calibration: dict[str, Any] = {
        "images": len(images),
        "split": "train",
        "method": job.int8.calibration_method,
        "seed": job.int8.calibration_seed,
    }
    if job.activation_ranges:
        ranges |= learned_ranges(prepared, job.activation_ranges)
        calibration = {"method": "qat"}
    return images, ranges, calibration


def quantize(model: onnx.ModelProto, calibration_images: Images, options: Int8Options | None = None) -> onnx.ModelProto:
    """Quantize the float32 graph of `onnx.build`; its input, of which the images are some, and its logits stay."""
    options = options or Int8Options()
    prepared = prepare(model)
    ranges = calibrate(prepared, calibration_images, options.calibration_method)
    return quantize_layers(prepared, ranges, calibration_images, options.layers)


def prepare(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the graph of `onnx.build` in the form that is calibrated and quantized."""
    model = _with_float_input(model)
    # What the quantizer's own pre-processing would do is done; without this mark it warns through the root logger.
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    return model


def calibrate(model: onnx.ModelProto, images: Images, method: CalibrationMethod) -> Ranges:
    """The range of every activation of a `prepare`d graph over these images, by onnxruntime's calibrators.

    "minmax": least and greatest value. "percentile": 99.999 % of the absolute values. "entropy": the range whose
    levels lose the least information (Kullback-Leibler). The calibrators are called directly because
    `quantize_static` passes no number of bins on: its entropy has 128 bins for 128 levels, and so is minmax.
    """
    import onnx
    from onnxruntime import quantization

    methods = {name.lower(): value for name, value in quantization.CalibrationMethod.__members__.items()}
    with tempfile.TemporaryDirectory() as folder, _library_kept_quiet():
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        calibrator = quantization.create_calibrator(
            path,
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=methods[method],
            extra_options=ENTROPY_HISTOGRAM if method == "entropy" else {},
        )
        calibrator.collect_data(_CalibrationReader(model.graph.input[0].name, images))
        found = calibrator.compute_data()
        return {name: _ends(data.range_value) for name, data in found.items()}


def learned_ranges(model: onnx.ModelProto, ranges: tuple[tuple[float, float], ...]) -> Ranges:
    """Name the tensors of a `prepare`d graph that `ExportJob.activation_ranges` are of; the other tensors follow them.

    Raises ValueError where there is not one for each layer but the last, or a layer is followed by no Relu or Tanh.
    """
    nodes = {node.name: node for node in model.graph.node}
    layers = [nodes[layer.node] for layer in layers_of(model)]
    if len(layers) != len(ranges) + 1:
        raise ValueError(f"{len(layers)} layers need {len(layers) - 1} activation ranges, got {len(ranges)}")
    found: Ranges = {}
    for layer, ends in zip(layers, ranges, strict=False):
        readers = [node for node in model.graph.node if layer.output[0] in node.input]
        kinds = [node.op_type for node in readers]
        if kinds not in (["Relu"], ["Tanh"]):
            raise ValueError(f"{layer.name} is followed by {', '.join(kinds)}: activation ranges need a Relu or a Tanh")
        found[readers[0].output[0] if kinds == ["Relu"] else layer.output[0]] = ends
    return found


def quantize_layers(
    model: onnx.ModelProto, ranges: Ranges, images: Images, layers: Layers = "all", *, widen: bool = True
) -> onnx.ModelProto:
    """Quantize the chosen layers of a `prepare`d graph, with the given ranges of its activations.

    Each layer takes the operators behind it along, up to the next layer. An input of pixels becomes uint8 again.
    What is rewritten afterwards is compared on `images`, as the graph takes them; with `widen` the first convolution
    is rewritten for onnxruntime.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    overrides: dict[str, list[dict[str, Any]]] = {
        name: [{"rmin": np.array(low, np.float32), "rmax": np.array(high, np.float32)}]
        for name, (low, high) in ranges.items()
    }
    overrides |= activations.overrides(model, ranges)
    overrides |= _input_override(model.graph)
    with tempfile.TemporaryDirectory() as folder, _library_kept_quiet():
        path = Path(folder) / "model.onnx"
        quantize_static(
            _copy_of(model),  # it moves the weights of what it is given into a file
            path,
            _CalibrationReader(model.graph.input[0].name, images[:1]),  # asked for, and overridden by `ranges`
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QUInt8,
            per_channel=True,
            op_types_to_quantize=activations.quantized_operators(),
            nodes_to_exclude=left_in_float(model, chosen_layers(model, layers)),
            extra_options={"WeightSymmetric": True, "TensorQuantOverrides": overrides},
        )
        quantized = onnx.load(path)
    _take_pixels(quantized.graph)
    _leave_logits_in_float(quantized.graph)
    folding.drop_unused(quantized.graph)
    del quantized.graph.value_info[:]
    activations.replace_tanh(quantized, images)
    if widen:
        widen_first_convolution(quantized)
    _say_it_shortly(quantized.graph)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized


class _CalibrationReader:
    """Feeds all calibration images as one batch (the protocol of onnxruntime's CalibrationDataReader)."""

    def __init__(self, name: str, images: Images) -> None:
        self._batches: Iterator[dict[str, Any]] = iter([{name: images.astype(np.float32)}])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._batches, None)

    def __len__(self) -> int:
        return 1


@contextlib.contextmanager
def _library_kept_quiet() -> Iterator[None]:
    """Swallow what onnxruntime's calibrators print: stdout is for results."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _takes_pixels(graph: onnx.GraphProto) -> bool:
    return bool(graph.input[0].name == INPUT)


def _input_override(graph: onnx.GraphProto) -> dict[str, list[dict[str, Any]]]:
    """Pixels are their own codes; a normalised input is calibrated like any other tensor."""
    identity = {"scale": np.array(1, np.float32), "zero_point": np.array(0, np.uint8)}
    return {INPUT: [identity]} if _takes_pixels(graph) else {}


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


def _ends(range_value: tuple[Any, Any]) -> tuple[float, float]:
    low, high = (float(np.asarray(end).item()) for end in range_value)
    return low, high


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
    last.output[0] = OUTPUT
    graph.node.remove(quantize)
    graph.node.remove(dequantize)


def _say_it_shortly(graph: onnx.GraphProto) -> None:
    """Leave out a zero point that is 0 anyway (of int32 biases) and shorten the names that the quantizer makes up.

    Together they are a twentieth of a LeNet's file. Layers keep their names.
    """
    import onnx

    int32 = {item.name for item in graph.initializer if item.data_type == onnx.TensorProto.INT32}
    fixed = {item.name for item in [*graph.input, *graph.output]}
    short = {name: f"v{i}" for i, name in enumerate(name for node in graph.node for name in node.output)}
    short |= {item.name: _short(item.name) for item in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in int32:
            del node.input[2:]
        if node.op_type in ("QuantizeLinear", "DequantizeLinear", "Reshape", "Transpose"):
            node.name = ""
        for names in (node.input, node.output):
            names[:] = [name if name in fixed else short.get(name, name) for name in names]
    for item in graph.initializer:
        item.name = short[item.name]
    folding.drop_unused(graph)


def _short(name: str) -> str:
    """`net.c1.weight_quantized_scale` as `c1.weight.q8s`."""
    for long, brief in ENDINGS.items():
        if name.endswith(long):
            return name.removeprefix("net.").removesuffix(long) + brief
    return name


def _rename_reads(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]


def _as_metadata(key: str, value: Any) -> dict[str, str]:
    import json

    from lenet_edge_runtime.spec import PREFIX

    return {PREFIX + key: json.dumps(value)}
