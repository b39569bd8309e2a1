"""onnxruntime's own format (.ort, a FlatBuffer), for phones and for builds of onnxruntime without an ONNX parser.

The float32 graph of `onnx.build`, optimised once by onnxruntime and saved as it will be run: a minimal build cannot
optimise, and a full one leaves such a file as it is. The level is "extended": it fuses activations into convolutions
and dense layers by operators that every CPU has. The level above lays tensors out for the vector width of the machine
that exports, and onnxruntime warns that such a file is for that machine only.

The format's tables: onnxruntime/core/flatbuffers/schema/ort.fbs in onnxruntime's repository.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenet_edge_exporters.export_job import ExportJob, LoadedModel
from lenet_edge_exporters.onnx import build, evidence, serialise
from lenet_edge_runtime import proof
from lenet_edge_runtime.classifier import Classifier
from lenet_edge_runtime.errors import ModelFileError

if TYPE_CHECKING:
    from flatbuffers import Builder
    from flatbuffers.table import Table

IDENTIFIER = b"ORTM"
VERSION = "6"  # of the tables; onnxruntime reads it from 1.16 on

# Which kernels an operator can have depends on the types of some of its arguments:
# operator ("domain:name:version") -> name of a type -> [(0 input or 1 output, index)]
KernelTypes = dict[str, dict[str, list[tuple[int, int]]]]


def export(job: ExportJob) -> bytes:
    """The optimised network as one ORT file, the same bytes for the same network."""
    return in_order(convert(serialise(build(job), job.metadata("ort"))))


def load(path: Path, threads: int = 1) -> LoadedModel:
    """Open an ORT file that lenet-edge exported; its evidence is not looked at here."""
    return Classifier(path, threads, verify=False)


def seal(_content: bytes, job: ExportJob, model: LoadedModel, card: Mapping[str, Any] | None) -> bytes:
    """The file again with the card and known answers in its metadata, and the seal behind its end.

    Readers of a FlatBuffer follow offsets from its head and never come to what stands behind it.
    """
    entries = {**job.metadata("ort"), **evidence(job, model, card), proof.SEAL: "the last 64 bytes of the file"}
    return proof.seal_end(in_order(convert(serialise(build(job), entries))))


def convert(content: bytes) -> bytes:
    """An ONNX file's bytes to the ORT file that onnxruntime makes of it; the metadata comes along.

    Raises ModelFileError where onnxruntime cannot write it: only into a file, not into memory.
    """
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.ort"
        options.optimized_model_filepath = str(path)
        try:
            onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Fail as error:
            reason = " ".join(str(error).split())
            raise ModelFileError(
                f"onnxruntime did not write the ORT file ({reason}); "
                f"see that {tempfile.gettempdir()} has room, or name another folder by TMPDIR"
            ) from None
        return path.read_bytes()


def in_order(content: bytes) -> bytes:
    """The same ORT file with its table of kernel types in the order of their names.

    onnxruntime writes that table, and it alone, in the order of a hash table whose seed changes with every call.
    A FlatBuffer grows towards its head, and the table stands before the model: the model is kept byte for byte.
    """
    from flatbuffers import Builder, encode, packer
    from flatbuffers.table import Table

    session = Table(content, encode.Get(packer.uoffset, content, 0))
    version = _text(session, 0)
    if content[4:8] != IDENTIFIER or version != VERSION:
        raise ModelFileError(
            f"the installed onnxruntime writes version {version} of its format, expected {VERSION}; export as onnx, "
            f"and convert that with 'python -m onnxruntime.tools.convert_onnx_models_to_ort'"
        )
    model = _position(session, 1)
    start = min(model, model - encode.Get(packer.soffset, content, model))  # the model or its vtable
    builder = Builder(0)
    builder.Bytes, builder.head = bytearray(content[start:]), 0
    builder.minalign = 16  # of the file's length, so that what was aligned from its end is so from its start
    kernel_types = _write_kernel_types(builder, _read_kernel_types(Table(content, _position(session, 3))))
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(0, len(content) - _position(session, 0), 0)
    builder.PrependUOffsetTRelativeSlot(1, len(content) - model, 0)
    builder.PrependUOffsetTRelativeSlot(3, kernel_types, 0)
    builder.Finish(builder.EndObject(), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _read_kernel_types(resolver: Table) -> KernelTypes:
    from flatbuffers.number_types import Int8Flags, Uint32Flags

    return {
        _text(operator, 0): {
            _text(entry, 0): [
                (
                    argument.GetSlot(4, 0, Int8Flags),
                    argument.GetSlot(6, 0, Uint32Flags),
                )
                for argument in _tables(entry, 1)
            ]
            for entry in _tables(operator, 1)
        }
        for operator in _tables(resolver, 0)
    }


def _write_kernel_types(builder: Builder, kernel_types: KernelTypes) -> int:
    """Append the tables, sorted by name as their readers expect; return the resolver's offset."""
    operators = []
    for operator, types in sorted(kernel_types.items()):
        entries = []
        for name, arguments in sorted(types.items()):
            written = [_write_argument(builder, *argument) for argument in arguments]
            entries.append(_write_table(builder, builder.CreateString(name), _write_vector(builder, written)))
        operators.append(_write_table(builder, builder.CreateString(operator), _write_vector(builder, entries)))
    return _write_table(builder, _write_vector(builder, operators))


def _write_argument(builder: Builder, direction: int, index: int) -> int:
    builder.StartObject(2)
    builder.PrependUint32Slot(1, index, 0)
    builder.PrependInt8Slot(0, direction, 0)
    return int(builder.EndObject())


def _write_table(builder: Builder, *fields: int) -> int:
    builder.StartObject(len(fields))
    for slot, offset in enumerate(fields):
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return int(builder.EndObject())


def _write_vector(builder: Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _position(table: Table, slot: int) -> int:
    """Where in the file the string or table stands that a field refers to."""
    return int(table.Indirect(table.Pos + table.Offset(4 + 2 * slot)))


def _text(table: Table, slot: int) -> str:
    content: bytes = table.String(table.Pos + table.Offset(4 + 2 * slot))
    return content.decode()


def _tables(table: Table, slot: int) -> list[Table]:
    """The tables of a field that is a vector of them."""
    from flatbuffers.table import Table

    field = table.Offset(4 + 2 * slot)
    start = table.Vector(field)
    return [Table(table.Bytes, table.Indirect(start + 4 * i)) for i in range(table.VectorLen(field))]
