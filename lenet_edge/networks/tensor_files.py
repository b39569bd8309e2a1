"""Files that hold weights: what a file is, by its content and not by its name, and the tables of tensors in it."""

import io
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from lenet_edge.networks.pickled_tensors import Inert, load_pickled, without_its_code
from lenet_edge_runtime.errors import WeightsError
from lenet_edge_runtime.near_names import near_path
from lenet_edge_runtime.reading import read_bytes

Tensors = dict[str, Tensor]

MAX_BYTES = 2 * 2**30  # a checkpoint with its optimizer; not one of a language model
_DEPTH = 6  # of wrappers around a state_dict
_OLD_TORCH = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # the magic number that torch.save wrote before 1.6
_HEAD = 64  # bytes that say what a file is
_NO_STATE = ("optim", "sched", "scaler", "callback", "loops")  # in the names under which trainers keep other tensors
_DAMAGED = (
    SafetensorError, zipfile.BadZipFile, zlib.error, pickle.UnpicklingError, NotImplementedError, RuntimeError,
    EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, StopIteration, struct.error,
)  # fmt: skip
_KERAS = (
    "the weights of Keras are read by TensorFlow alone; make an ONNX file of the model: "
    "pip install tf2onnx tensorflow, then in Python: tf2onnx.convert.from_keras(keras.models.load_model({name!r}), "
    "output_path='model.onnx'), then 'lenet-edge verify model.onnx --labels ... --dataset ...'"
)


@dataclass(frozen=True)
class TensorFile:
    """The tables of tensors in a file, by the key under which each was found ("": the file itself).

    `ordered` is False for safetensors, which sorts its tensors. `remark` is what its user should know, or "".
    """

    path: Path
    tables: dict[str, Tensors]
    ordered: bool = True
    remark: str = ""


def read_tensors(path: Path) -> TensorFile:
    """Read the tensors of a file: safetensors, .npz, or whatever torch.save, Lightning or TorchScript wrote.

    Nothing in the file is run. Raises WeightsError for a file that is none of these, saying what it is.
    """
    content = _content(path)
    head = content[:_HEAD]
    try:
        if zipfile.is_zipfile(io.BytesIO(content)):
            return _read_zip(path, content)
        if _OLD_TORCH in head:
            return _found(path, load_pickled(path, content))
        if head[8:9] == b"{":
            return _found(path, load(content), ordered=False)
    except _DAMAGED as error:
        raise WeightsError(f"{path} is damaged or no weights file ({' '.join(str(error).split())[:160]})") from None
    raise WeightsError(f"{path} is {_described(path, content)}")


def _content(path: Path) -> bytes:
    try:
        return read_bytes(path, MAX_BYTES)
    except FileNotFoundError:
        raise WeightsError(f"{path} does not exist: {near_path(path)}give the path of a state_dict") from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}): give the path of a state_dict") from None


def _read_zip(path: Path, content: bytes) -> TensorFile:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
    ends = {name.rpartition("/")[2] for name in names}
    if "model.weights.h5" in ends:
        raise WeightsError(f"{path} is a model of Keras; {_KERAS.format(name=path.name)}")
    if "constants.pkl" in ends and "data.pkl" in ends:
        remark = f"{path.name} is a TorchScript archive: its tensors are read, its code is not run"
        return _found(path, without_its_code(content), remark=remark)
    if "data.pkl" in ends:
        return _found(path, load_pickled(path, content))
    if names and all(name.endswith(".npy") for name in names):
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return _found(path, {name: arrays[name] for name in arrays.files})
    if any("archive_format" in name or name.endswith("model.json") for name in names):
        raise WeightsError(
            f"{path} is a program of torch.export; save its weights: torch.save(program.state_dict, ...)"
        )
    raise WeightsError(f"{path} is a zip archive of {', '.join(names[:3])} and more: unpack it, and name the weights")


def _found(path: Path, content: Any, *, ordered: bool = True, remark: str = "") -> TensorFile:
    tables: dict[str, Tensors] = {}
    for name, tensors in _tables(content, "", _DEPTH):
        if not any(_are_the_same(tensors, other) for other in tables.values()):
            tables[name] = tensors
    if not tables:
        raise WeightsError(
            f"{path} is not a state_dict (names and tensors); save model.state_dict() (it holds {_kind_of(content)})"
        )
    return TensorFile(path, tables, ordered, remark)


def _tables(content: Any, name: str, depth: int) -> Iterator[tuple[str, Tensors]]:
    """Every mapping that is tensors through and through, however deep it lies: the outermost first."""
    content = _members(content)
    if content is None or not depth or not all(isinstance(key, str) for key in content):
        return
    if tensors := _flat(content, depth):
        yield name, tensors
    for key, value in content.items():
        if not any(word in key.lower() for word in _NO_STATE):
            yield from _tables(value, f"{name}.{key}" if name else key, depth - 1)


def _flat(content: Any, depth: int) -> Tensors | None:
    """A mapping of tensors, or of such mappings, under dotted names; None where anything else is in it."""
    found: Tensors = {}
    for key, value in content.items():
        tensor = _tensor(value)
        if tensor is not None:
            found[key] = tensor
        elif (inner := _members(value)) is not None and depth > 1:
            if inner and not all(isinstance(name, str) for name in inner):
                return None
            deeper = _flat(inner, depth - 1) if inner else {}
            if deeper is None:
                return None
            found |= {f"{key}.{name}": item for name, item in deeper.items()}
        else:
            return None
    return found or None


def _are_the_same(some: Tensors, others: Tensors) -> bool:
    """Whether two tables hold the same tensors, as a wrapper does with nothing else in it."""
    return [id(item) for item in some.values()] == [id(item) for item in others.values()]


def _members(value: Any) -> Mapping[Any, Any] | None:
    """A mapping as it is; of a module of TorchScript its tensors and the modules in it, no other attributes."""
    if isinstance(value, Inert) and isinstance(value.state, Mapping):
        return {key: item for key, item in value.state.items() if isinstance(item, Tensor | Inert)}
    return {} if isinstance(value, Inert) else value if isinstance(value, Mapping) else None


def _tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        return torch.from_numpy(value.copy())
    return None


def _kind_of(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"{', '.join(repr(key) for key in list(content)[:6])}, none of which are tensors throughout"
    return f"a {type(content).__name__}"


def _described(path: Path, content: bytes) -> str:
    """What a file is that holds no tensors for us, and what to do about it."""
    head = content[:_HEAD]
    if head.startswith(b"\x89HDF"):
        return f"an HDF5 file; {_KERAS.format(name=path.name)}"
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, not the file itself: fetch it by 'git lfs pull'"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "a web page, not the file itself: download it again"
    if head.startswith(b"\x1f\x8b") or tarfile.is_tarfile(io.BytesIO(content)):
        return "a compressed or tar archive: unpack it, and name the file in it"
    if head.startswith(b"\x80"):
        return (
            "a plain pickle, not torch.save's, and was not loaded; where you trust it: "
            f"torch.save(pickle.load(open({path.name!r}, 'rb')), 'weights.pth')"
        )
    if head.startswith(b"GGUF") or head[4:8] == b"TFL3":
        return "a model of another runtime (GGUF or TensorFlow Lite); weights come from PyTorch or as safetensors"
    return "not a weights file (no state_dict, safetensors, .npz or checkpoint by its content); save model.state_dict()"
