"""What Android and MediaPipe ask a TFLite file: the image that goes in, the labels that come out.

https://github.com/tensorflow/tflite-support, tensorflow_lite_support/metadata/metadata_schema.fbs: a FlatBuffer of its
own in the entry TFLITE_METADATA. The label file that it names is in a zip behind the model.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lenet_edge_exporters.integer_program.program import UnsupportedError
from lenet_edge_runtime import proof
from lenet_edge_runtime.spec import ModelSpec

if TYPE_CHECKING:
    from flatbuffers import Builder

ENTRY = "TFLITE_METADATA"
LABEL_FILE = "labels.txt"
IDENTIFIER = b"M001"
# Numbers of the schema: of its enumerations, and of its unions' members.
_RGB, _GRAYSCALE, _AXIS_LABELS, _FEATURE_PROPERTIES, _IMAGE_PROPERTIES, _NORMALIZATION = 1, 2, 2, 1, 2, 1
_ON_UNIX = 3  # who made the zip: the same everywhere, for the same bytes


@dataclass(frozen=True)
class Table:
    """A table of the schema: its fields by their place there."""

    fields: Mapping[int, Field]


# A string, one byte (an enumeration), a table, and lists; an empty table is a value, too.
Field = str | int | Table | Sequence[float] | Sequence[Table]


def metadata_of(spec: ModelSpec, name: str, description: str) -> bytes:
    """The entry TFLITE_METADATA of a classifier that takes raw pixels and gives a logit for each label."""
    from flatbuffers import Builder

    properties = Table({0: _RGB if spec.channels == 3 else _GRAYSCALE})
    # Mean 0 and deviation 1: the file normalises what it is given, so nobody else may.
    unit = Table({0: _NORMALIZATION, 1: Table({0: [0.0], 1: [1.0]})})
    pixels = Table(
        {
            0: "pixels",
            1: f"raw pixels, 0 to 255; trained on images {spec.polarity.replace('any', 'of any polarity')}",
            3: Table({0: _IMAGE_PROPERTIES, 1: properties}),
            4: [unit],
            5: Table({0: [255.0], 1: [0.0]}),
        }
    )
    labels = Table({0: LABEL_FILE, 1: "a label a line, in the order of the logits", 2: _AXIS_LABELS})
    logits = Table(
        {
            0: "logits",
            1: "a number for each label, the greatest for the answer; softmax makes probabilities of them",
            3: Table({0: _FEATURE_PROPERTIES, 1: Table({})}),
            6: [labels],
        }
    )
    builder = Builder(1024)
    whole = Table({0: name, 1: description, 3: [Table({2: [pixels], 3: [logits]})], 7: "1.0.0"})
    builder.Finish(_written(builder, whole), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def with_label_file(content: bytes, spec: ModelSpec) -> bytes:
    """A model with its label file in a zip behind it, with room for a seal (`proof.seal_zip`).

    The file is stored as it is, its comment the room: Android's reader finds neither what is compressed nor a zip that
    has a comment. Raises UnsupportedError for labels of several lines.
    """
    broken = [label for label in spec.labels if len(label.splitlines()) != 1]
    if broken:
        raise UnsupportedError(
            f"the TFLite export writes a label a line, and {broken[0]!r} is not one line; give others with --labels"
        )
    entry = zipfile.ZipInfo(LABEL_FILE)  # of 1980, as it comes
    entry.create_system, entry.external_attr, entry.comment = _ON_UNIX, 0o644 << 16, proof.BLANK.encode()
    place = io.BytesIO()
    place.write(content)
    with zipfile.ZipFile(place, "w") as archive:  # which counts from the beginning of the model, as all readers do
        archive.writestr(entry, "".join(label + "\n" for label in spec.labels))
    return place.getvalue()


def _written(builder: Builder, value: Table | str | Sequence[float] | Sequence[Table]) -> int:
    """Where the builder wrote a value that others point to."""
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if not isinstance(value, Table):
        return _vector(builder, value)
    fields = {
        place: field if isinstance(field, int) else _written(builder, field) for place, field in value.fields.items()
    }
    builder.StartObject(max(fields, default=-1) + 1)
    for place, field in fields.items():
        if isinstance(value.fields[place], int):
            builder.PrependUint8Slot(place, field, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(place, field, 0)
    return int(builder.EndObject())


def _vector(builder: Builder, values: Sequence[float] | Sequence[Table]) -> int:
    items = [value if isinstance(value, float) else _written(builder, value) for value in values]
    builder.StartVector(4, len(items), 4)
    for value, item in zip(reversed(values), reversed(items), strict=True):
        if isinstance(value, float):
            builder.PrependFloat32(item)
        else:
            builder.PrependUOffsetTRelative(item)
    return int(builder.EndVector())
