"""Tensors out of what torch.save wrote, without running any of it: torch's weights_only, and data beside the tensors.

Trainers keep numbers of numpy, an argparse.Namespace and the like beside the tensors. Those are data: numpy's are read
as what they are, the others become `Inert`, an object of no behaviour whatever its pickle asks of it. All else is
refused by its name.
"""

import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from lenet_edge_runtime.errors import WeightsError

# What trainers keep beside tensors: values without behaviour, none of which is needed here.
DATA = (
    "argparse.Namespace", "types.SimpleNamespace", "pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath",
    "pathlib.PurePosixPath", "pathlib._local.PosixPath", "pathlib._local.Path", "datetime.datetime", "datetime.date",
    "datetime.timedelta", "datetime.timezone", "uuid.UUID", "torch.torch_version.TorchVersion", "decimal.Decimal",
    "lightning.fabric.utilities.data.AttributeDict", "lightning_fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
)  # fmt: skip
_REFUSED = re.compile(r"(?:GLOBAL |function |class )<?(?:class |function )?'?([\w.]+)")
_MODULES = b"torch.nn.modules"  # stands in the pickle of every whole module


class Inert:
    """Takes any arguments and any state, and keeps the state alone."""

    def __new__(cls, *_args: object, **_keywords: object) -> "Inert":
        return object.__new__(cls)

    def __init__(self, *_args: object, **_keywords: object) -> None:
        self.state: Any = None

    def __setstate__(self, state: object) -> None:
        self.state = state


def load_pickled(path: Path, content: bytes) -> Any:
    """What torch.save wrote to `path`, whose content this is; raise WeightsError where it holds code, naming it."""
    try:
        return load_inert(io.BytesIO(content), DATA)
    except pickle.UnpicklingError as error:
        raise WeightsError(_what_it_holds(path, content, str(error))) from None


def load_inert(source: IO[bytes], inert: tuple[str, ...]) -> Any:
    """torch.load with weights_only, where numpy's values are admitted and the classes named become `Inert`."""
    admitted: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        *_numpy(),
        *((Inert, name) for name in inert),
    ]
    with torch.serialization.safe_globals(admitted), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of storages of old files: nothing that its user can do about it
        return torch.load(source, map_location="cpu", weights_only=True)


def without_its_code(content: bytes) -> Any:
    """The object of a TorchScript archive: its modules as `Inert` with their tensors. Its code is left in the file."""
    bare = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(bare, "w") as copy:
        graph = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = graph.removesuffix("data.pkl")
        for name in archive.namelist():
            if name.removeprefix(folder).startswith(("data", "version", "byteorder")):
                copy.writestr(name, archive.read(name))
        classes = tuple(dict.fromkeys(_classes(archive.read(graph))))
    bare.seek(0)
    return load_inert(bare, classes)


def _classes(content: bytes) -> Iterator[str]:
    """What a TorchScript archive refers to: classes it was compiled from, below `__torch__`, and lists of numbers."""
    for module, name in re.findall(rb"c([\w.]+)\n([\w.]+)\n", content):
        if module.startswith((b"__torch__", b"torch.jit._pickle")):
            yield f"{module.decode()}.{name.decode()}"


def _numpy() -> Iterator[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """Numpy's numbers and arrays of numbers, under the names that its releases 1 and 2 have for them."""
    from numpy._core import multiarray, numeric

    scalar, rebuild = multiarray.scalar, multiarray._reconstruct
    yield from (np.dtype, np.ndarray)
    yield from (type(np.dtype(code)) for code in "?bBhHiIlLqQefdg")
    for package in ("numpy.core", "numpy._core"):
        yield scalar, f"{package}.multiarray.scalar"
        yield rebuild, f"{package}.multiarray._reconstruct"
        yield numeric._frombuffer, f"{package}.numeric._frombuffer"  # type: ignore[attr-defined]


def _what_it_holds(path: Path, content: bytes, reason: str) -> str:
    found = _REFUSED.search(reason)
    named = f"{found[1]}" if found else "something that is no data"
    if _MODULES in _pickle_of(content):
        return (
            f"{path} holds a whole pickled module ({named}), which is code and was not loaded. Where you trust it and "
            f"its class can be imported, two lines give its state_dict: "
            f"net = torch.load({path.name!r}, weights_only=False); torch.save(net.state_dict(), 'weights.pth')"
        )
    return (
        f"{path} holds more than tensors ({named}: a pickle that wants to run code) and was not loaded; "
        f"save the weights alone: torch.save(model.state_dict(), 'weights.pth')"
    )


def _pickle_of(content: bytes) -> bytes:
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return b"".join(archive.read(name) for name in archive.namelist() if name.endswith("data.pkl"))
