"""Static int8 ONNX: the ranges (`calibration`), the graph (`quantization`, `naming`), the file (`format`)."""

from lenet_edge_exporters.int8.calibration import calibrate, learned_ranges
from lenet_edge_exporters.int8.format import export, exporter, plain_graph
from lenet_edge_exporters.int8.quantization import prepare, quantize, quantize_layers

__all__ = ["calibrate", "export", "exporter", "learned_ranges", "plain_graph", "prepare", "quantize", "quantize_layers"]
