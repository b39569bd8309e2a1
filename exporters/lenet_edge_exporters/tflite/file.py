"""A finished TFLite file: the model with its metadata, and the label file behind it with room for a seal."""

from __future__ import annotations

from collections.abc import Mapping

from lenet_edge_exporters.export_job import ExportJob
from lenet_edge_exporters.tflite import described
from lenet_edge_exporters.tflite.model import ModelWriter

SEAL_PLACE = "the 64 bytes before the last 22"  # what the metadata says of the seal (`proof.seal_zip`)


def content(
    job: ExportJob, format_name: str, writer: ModelWriter, source: int, target: int, own: Mapping[str, str]
) -> bytes:
    """The file of the model from tensor `source` to `target`, with the job's metadata and its `own`."""
    recipe = str(job.provenance.get("recipe", "image classifier"))
    about = described.metadata_of(job.spec, recipe, "an image classifier by lenet-edge")
    texts = {**job.metadata(format_name, "NHWC"), **own}
    entries = {**{key: value.encode() for key, value in texts.items()}, described.ENTRY: about}
    return described.with_label_file(writer.content(source, target, dict(sorted(entries.items()))), job.spec)
