"""Any torch image classifier and its spec, to files that take raw pixels: one row of `FORMATS` a format.

>>> job = ExportJob(net, spec, check_pixels, calibration_pixels)                            # doctest: +SKIP
>>> export(job, "int8", Path("net.int8.onnx"), torch_model(net, spec).logits(check_pixels))  # doctest: +SKIP
"""

from lenet_edge_exporters.export_job import ExportJob, LoadedModel
from lenet_edge_exporters.formats import FORMATS, Artifact, Format, export
from lenet_edge_exporters.opening import open_file

__all__ = ["FORMATS", "Artifact", "ExportJob", "Format", "LoadedModel", "export", "open_file"]
