"""A network built from the C export as a shared library, called through ctypes.

The library is code of this machine and runs as soon as it is opened: open only those that you built or trust.
"""

import ctypes
import functools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime import metadata
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.reading import read_bytes, real_path
from lenet_edge_runtime.spec import ModelSpec, check_pixels

LIBRARY_SUFFIXES = (".so", ".dylib", ".dll")
SCRATCH = "scratch_bytes"
NAME = "c_name"  # the metadata key of a name that is not the default one
DEFAULT_NAME = "lenet"  # with which the symbols of the C export begin
MAX_SCRATCH = 2**30
_STATED = re.compile(rb'"lenet_edge\.c_name": "\\"([a-z0-9_]{1,64})\\""')  # as the C export writes it, JSON in JSON
_Pointer = ctypes.c_void_p
Images = NDArray[np.uint8] | NDArray[np.float32]  # as engines are given them; a library takes uint8 alone


def is_library(path: Path | str) -> bool:
    """Whether a file is a shared library, by its name."""
    return Path(path).suffix in LIBRARY_SUFFIXES


def name_in(content: bytes, path: Path | str) -> str:
    """The name with which the symbols of a library begin; raises ModelFileError where it holds several networks."""
    found: set[str] = {stated.decode() for stated in _STATED.findall(content)} or {DEFAULT_NAME}
    if len(found) > 1:
        raise ModelFileError(
            f"{path} holds more than one network ({', '.join(sorted(found))}): build one library of each"
        )
    return found.pop()


class SharedLibrary:
    """`lenet.so`, opened once; `run` may be called from several threads. Raises ModelFileError for other files.

    What its functions are called it says itself, in its metadata, which is read before it is opened.
    """

    def __init__(self, path: Path | str) -> None:
        try:
            name = name_in(read_bytes(path), path)
            library = ctypes.CDLL(str(real_path(path)))
            self._predict, describe = library[f"{name}_predict_batch"], library[f"{name}_metadata"]
        except (OSError, AttributeError) as error:
            raise ModelFileError(
                f"{path} is not a shared library of the C export ({error}); build one by 'make' in its folder, "
                "exported by this version"
            ) from None
        describe.restype = ctypes.c_char_p
        self._predict.argtypes = [_Pointer, ctypes.c_size_t, _Pointer, _Pointer]
        self._predict.restype = None
        try:
            self.metadata = metadata.of_text(describe() or b"")
        except ValueError as error:
            raise ModelFileError(f"{path}: what it says of itself is damaged ({error}); build it again") from None
        self.spec = ModelSpec.from_metadata(self.metadata)
        self.input = ("uint8", self.spec.pixel_shape)
        self.outputs = None  # its known answers show how many
        self._scratch_bytes = metadata.read(self.metadata, SCRATCH, metadata.whole(0, MAX_SCRATCH))

    def logits(self, pixels: Images) -> NDArray[np.float32]:
        """Run raw pixels, uint8 [n, channels, height, width]; return the logits, float32 [n, classes]."""
        check_pixels(pixels, self.spec)
        call, found = self._bound(pixels)
        call()
        return found

    run = logits  # as an engine, see `engines.py`

    def bind(self, pixels: Images) -> Callable[[], object]:
        """The bare call on `pixels`, for timing."""
        return self._bound(pixels)[0]

    def _bound(self, pixels: Images) -> tuple[Callable[[], object], NDArray[np.float32]]:
        images = np.ascontiguousarray(pixels)
        logits = np.empty((len(images), len(self.spec.labels)), np.float32)
        scratch = np.empty(self._scratch_bytes // 8 + 1, np.uint64)  # of this call alone, and aligned
        addresses = images.ctypes.data, len(images), logits.ctypes.data, scratch.ctypes.data
        call = functools.partial(self._predict, *addresses)
        call.__dict__["arrays"] = images, logits, scratch  # which it knows by their addresses only
        return call, logits
