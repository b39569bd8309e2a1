"""How a file proves itself: a seal over all of its bytes, and known answers that it still has to give.

Both travel in the file's metadata. One flipped byte of a weight loads silently in torch, onnx.checker and
onnxruntime; the seal finds it. The known answers show that this runtime on this CPU computes what was computed when
the file was checked.
"""

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime import onnx_file
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.metadata import Reader, anything, items, number, parse, read_optional, table, whole
from lenet_edge_runtime.metadata import text as text_of
from lenet_edge_runtime.printable import printable
from lenet_edge_runtime.spec import MAX_VALUES, PREFIX, ModelSpec

SEAL = PREFIX + "sha256"
INITIALIZERS = PREFIX + "initializers_sha256"
KNOWN_ANSWERS = PREFIX + "known_answers"
CARD = PREFIX + "card"
MAX_CLASSES = 2**16
MAX_TOLERANCE = 0.01  # as a share of the greatest logit; float32 files are written with 0.0001
BLANK = "0" * 64  # what stands in the seal's place while the file is hashed
_ZIP_END, _ZIP_END_LENGTH = b"PK\5\6", 22  # the last record of a zip, where it has no comment

_NO_EVIDENCE = (
    "the file carries no seal and no known answers; export it again with 'lenet-edge export', "
    "or open it without them by verify=False (--no-verify)"
)

BROKEN_SEAL = (
    "fails its own check: its bytes are not those that were exported (its seal is broken); "
    "copy it again, or export it again"
)

# What a card has to hold, by how it is read; written by `lenet_edge.evaluation.comparison.card_of`.
_CARD: dict[Reader[Any], tuple[str, ...]] = {
    text_of: ("dataset", "split"),
    whole(1): ("images",),
    number: ("accuracy", "pytorch_accuracy", "agreement", "accuracy_drop_pp", "mcnemar_p", "max_drop_pp"),
    items(number, 2, 2): ("accuracy_ci95", "drop_ci95_pp"),
}

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class KnownAnswers:
    """Images uint8 [n, c, h, w] and the logits float32 [n, classes] the file gave; tolerance 0 is bit for bit."""

    pixels: NDArray[np.uint8]
    logits: NDArray[np.float32]
    tolerance: float

    def to_json(self) -> str:
        """Serialise: zlib and base64 for the arrays, little-endian."""
        return json.dumps(
            {
                "shape": list(self.pixels.shape),
                "pixels": _pack(self.pixels.tobytes()),
                "logits": _pack(self.logits.astype("<f4").tobytes()),
                "tolerance": self.tolerance,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "KnownAnswers":
        """Read back what `to_json` wrote; raise ModelFileError for anything else."""
        try:
            return cls(*_arrays(parse(text)))
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else printable(str(error))
            raise ModelFileError(f"the file's known answers are damaged ({reason}); export it again") from None

    def greatest_difference(self, run: Run) -> float:
        """The greatest difference between the known logits and those that `run` gives now; NaN counts as infinite."""
        difference = np.abs(run(self.pixels).astype(np.float64) - self.logits)
        return float(np.nan_to_num(difference, nan=np.inf).max())


@dataclass(frozen=True)
class Proof:
    """What a file's own evidence says about it, here and now."""

    sealed: bool  # every byte is as it was when the file was written
    known_answers: int  # replayed
    greatest_difference: float
    tolerance: float
    initializers_sha256: str | None  # None in an ORT file, which has no such messages
    card: dict[str, Any] | None

    @property
    def passed(self) -> bool:
        """Whether no byte changed and every known answer was given."""
        return self.sealed and self.known_answers > 0 and self.greatest_difference <= self.tolerance


# What a file whose seal is broken has proved: none of it was run.
BROKEN = Proof(
    sealed=False, known_answers=0, greatest_difference=0.0, tolerance=0.0, initializers_sha256=None, card=None
)


def seal(content: bytes, entries: dict[str, str]) -> bytes:
    """Add metadata, the hash of the initializers, and last the hash of the whole file to a serialized model."""
    digest = onnx_file.summarise(content).initializers_sha256
    content = onnx_file.append_metadata(content, {**entries, INITIALIZERS: digest, SEAL: BLANK})
    # The blank is the very end of the file, for the entry that holds it is its last field.
    return seal_end(content[: -len(BLANK)])


def seal_end(content: bytes) -> bytes:
    """Add to a file's end the hash of all before it."""
    return content + _hash(content).encode()


def seal_zip(content: bytes) -> bytes:
    """Put the seal into a file that ends in a zip: over the blank before the zip's end record, which has to be last."""
    before, _, after = _parts(content)
    return before + _hash(before, after).encode() + after


def is_sealed(content: bytes) -> bool:
    """Whether the file's bytes are those that were sealed; False too for a file without a seal."""
    before, stated, after = _parts(content)
    return stated == _hash(before, after).encode()


def _parts(content: bytes) -> tuple[bytes, bytes, bytes]:
    """What is before the seal, the seal, and what is behind it: nothing, or the end record of a zip."""
    end = len(content)
    if content[-_ZIP_END_LENGTH:].startswith(_ZIP_END):
        end -= _ZIP_END_LENGTH
    start = max(end - len(BLANK), 0)
    return content[:start], content[start:end], content[end:]


def _hash(before: bytes, after: bytes = b"") -> str:
    """SHA-256 of a file whose seal is blank."""
    return hashlib.sha256(before + BLANK.encode() + after).hexdigest()


def is_broken(content: bytes) -> bool:
    """Whether a file was sealed and changed since, seen from its bytes: nothing of it is run."""
    return SEAL.encode() in content and not is_sealed(content)


def check_seal(content: bytes, name: str) -> None:
    """Raise ModelFileError for a file, called `name`, whose bytes are not those that were sealed; runs none of it."""
    if is_sealed(content):
        return
    if is_broken(content):
        raise ModelFileError(f"{name} {BROKEN_SEAL}")
    raise ModelFileError(f"{name}: {_NO_EVIDENCE}")


def known_answers(metadata: dict[str, str], name: str) -> KnownAnswers:
    """The known answers of a file called `name`; raise ModelFileError where it carries none, or another network's."""
    if KNOWN_ANSWERS not in metadata:
        raise ModelFileError(f"{name}: {_NO_EVIDENCE}")
    spec = ModelSpec.from_metadata(metadata)
    answers = KnownAnswers.from_json(metadata[KNOWN_ANSWERS])
    if answers.pixels.shape[1:] != spec.pixel_shape or answers.logits.shape[1] != len(spec.labels):
        raise ModelFileError(
            f"{name}: its known answers are those of another network: images {answers.pixels.shape[1:]} and "
            f"{answers.logits.shape[1]} logits, its metadata says {spec.pixel_shape} and {len(spec.labels)} labels; "
            f"export it again"
        )
    return answers


def card_of(metadata: dict[str, str]) -> dict[str, Any] | None:
    """What a file says was measured of it, every figure a figure; None where it says nothing."""
    return read_optional(metadata, CARD.removeprefix(PREFIX), _card)


def _card(value: Any) -> dict[str, Any]:
    card = table(anything)(value)
    for reader, keys in _CARD.items():
        for key in keys:
            if key not in card:
                raise ValueError(f"it lacks {key}")
            reader(card[key])
    if not all(0 <= card[key] <= 1 for key in ("accuracy", "pytorch_accuracy", "agreement")):
        raise ValueError("accuracies are fractions, from 0 to 1")
    return card


def _arrays(fields: Any) -> tuple[NDArray[np.uint8], NDArray[np.float32], float]:
    """Pixels, logits and tolerance of known answers, as `KnownAnswers` holds them; ValueError for anything else."""
    stated = table(anything)(fields)
    shape = items(whole(1, MAX_VALUES), 4, 4)(stated["shape"])
    count = math.prod(shape)
    if count > MAX_VALUES:
        raise ValueError(f"{count:,} pixels are too many")
    pixels = np.frombuffer(_unpack(text_of(stated["pixels"]), count), np.uint8).reshape(shape)
    logits = np.frombuffer(_unpack(text_of(stated["logits"]), 4 * MAX_CLASSES * shape[0]), "<f4").reshape(shape[0], -1)
    tolerance = number(stated["tolerance"])
    if logits.shape[1] < 2 or not np.isfinite(logits).all():
        raise ValueError("the logits are no two or more numbers an image")
    if not 0 <= tolerance <= MAX_TOLERANCE * float(np.abs(logits).max()):
        raise ValueError(f"a tolerance of {tolerance:g} lets any answer pass")
    return pixels, logits.astype(np.float32), tolerance


def prove(content: bytes, metadata: dict[str, str], run: Run) -> Proof:
    """Check the seal and replay the known answers through `run`; raise ModelFileError where a file has neither."""
    if SEAL not in metadata or KNOWN_ANSWERS not in metadata:
        raise ModelFileError(_NO_EVIDENCE)
    answers = known_answers(metadata, "the file")
    return Proof(
        sealed=is_sealed(content),
        known_answers=len(answers.pixels),
        greatest_difference=answers.greatest_difference(run),
        tolerance=answers.tolerance,
        initializers_sha256=onnx_file.summarise(content).initializers_sha256 if INITIALIZERS in metadata else None,
        card=card_of(metadata),
    )


def _pack(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode()


def _unpack(text: str, limit: int) -> bytes:
    """Decompress at most `limit` bytes: a small hostile text holds gigabytes."""
    return zlib.decompressobj().decompress(base64.b64decode(text, validate=True), limit)
