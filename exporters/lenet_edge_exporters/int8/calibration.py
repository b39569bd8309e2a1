"""The ranges of a graph's activations: by onnxruntime's calibrators, or as fake quantization learned them."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lenet_edge_exporters.export_job import CalibrationMethod, Images
from lenet_edge_exporters.layers import layers_of

if TYPE_CHECKING:
    import onnx

# A histogram spans -t to t, a uint8 activation behind a ReLU 0 to t: 512 levels are 256 on the side that is used.
ENTROPY_HISTOGRAM = {"num_bins": 1024, "num_quantized_bins": 512}
Ranges = dict[str, tuple[float, float]]  # activation -> least and greatest value that it is to hold


def calibrate(model: onnx.ModelProto, images: Images, method: CalibrationMethod) -> Ranges:
    """The range of every activation of a `prepare`d graph over these images, by onnxruntime's calibrators.

    "minmax": least and greatest value. "percentile": 99.999 % of the absolute values. "entropy": the range whose
    levels lose the least information (Kullback-Leibler). The calibrators are called directly because
    `quantize_static` passes no number of bins on: its entropy has 128 bins for 128 levels, and so is minmax.
    """
    import onnx
    from onnxruntime import quantization

    methods = {name.lower(): value for name, value in quantization.CalibrationMethod.__members__.items()}
    with tempfile.TemporaryDirectory() as folder, library_kept_quiet():
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        calibrator = quantization.create_calibrator(
            path,
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=methods[method],
            extra_options=ENTROPY_HISTOGRAM if method == "entropy" else {},
        )
        calibrator.collect_data(CalibrationReader(model.graph.input[0].name, images))
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


class CalibrationReader:
    """Feeds all calibration images as one batch (the protocol of onnxruntime's CalibrationDataReader)."""

    def __init__(self, name: str, images: Images) -> None:
        self._batches: Iterator[dict[str, Any]] = iter([{name: images.astype(np.float32)}])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._batches, None)

    def __len__(self) -> int:
        return 1


@contextlib.contextmanager
def library_kept_quiet() -> Iterator[None]:
    """Swallow what onnxruntime's calibrators print: stdout is for results."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _ends(range_value: tuple[Any, Any]) -> tuple[float, float]:
    low, high = (float(np.asarray(end).item()) for end in range_value)
    return low, high
