"""What runs a model file: the part of a classifier that depends on the kind of file."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime.errors import ModelFileError, ProviderError
from lenet_edge_runtime.sessions import open_content
from lenet_edge_runtime.shared_library import SharedLibrary, is_library
from lenet_edge_runtime.tflite_engine import TfliteEngine
from lenet_edge_runtime.tflite_file import is_tflite

Images = NDArray[np.uint8] | NDArray[np.float32]  # as the file takes them, [n, channels, height, width]

DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}  # by onnxruntime's words


class Engine(Protocol):
    """An opened model file; `run` may be called from several threads at once."""

    metadata: dict[str, str]  # all that the file carries, `ModelSpec.from_metadata` reads its spec from it
    input: tuple[str, tuple[Any, ...]]  # dtype, and (channels, height, width) of one image, as the file takes them
    outputs: Any  # columns of the logits; no number where the file does not say before it is run

    def run(self, images: Images) -> NDArray[np.float32]:
        """The logits, float32 [n, classes]."""

    def bind(self, images: Images) -> Callable[[], object]:
        """The bare call on these images and nothing around it, for timing."""


def open_engine(content: bytes, name: str, threads: int, provider: str) -> Engine:
    """Open a model file's bytes, which carry our metadata; `name` is what errors call it.

    A library of the C export is the exception: the system opens it by its path, which `name` has to be, and it runs on
    one thread. Raises ProviderError for another provider than "cpu" with it.
    """
    if is_library(name):
        if provider != "cpu":
            raise ProviderError(f"{name} is compiled for the CPU, got provider {provider!r}; use provider cpu")
        return SharedLibrary(name)
    if is_tflite(content):
        if provider != "cpu":
            raise ProviderError(f"{name} is run by LiteRT on the CPU, got provider {provider!r}; use provider cpu")
        return TfliteEngine(content, name, threads)
    return OnnxEngine(content, name, threads, provider)


class OnnxEngine:
    """An ONNX or ORT file in an onnxruntime session."""

    def __init__(self, content: bytes, name: str, threads: int, provider: str) -> None:
        self._session = open_content(content, name, threads, provider)
        self._called = name
        try:
            self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
            (taken,) = self._session.get_inputs()
        except ValueError as error:  # UnicodeDecodeError is one
            raise ModelFileError(f"{name} is damaged: its metadata or its inputs ({error}); export it again") from None
        self._name = taken.name
        self.input = (DTYPES.get(taken.type, taken.type), tuple(taken.shape[1:]))
        shapes = {given.name: given.shape for given in self._session.get_outputs()}
        if len(shapes.get("logits", ())) != 2:
            raise ModelFileError(f"{name} has no output 'logits' [batch, classes], got {shapes}; export it again")
        self.outputs = shapes["logits"][1]

    def run(self, images: Images) -> NDArray[np.float32]:
        """The logits, float32 [n, classes]."""
        try:
            logits: NDArray[np.float32] = self._session.run(["logits"], {self._name: images})[0]
        except Exception as error:  # onnxruntime raises a dozen types of its own, with no common base
            reason = " ".join(str(error).split())[:200]
            raise ModelFileError(f"{self._called} cannot be run ({reason}); export it again") from None
        if logits.dtype != np.float32 or logits.ndim != 2 or len(logits) != len(images):
            raise ModelFileError(
                f"{self._called} answers {len(images)} images by {logits.dtype} {list(logits.shape)}, expected float32 "
                f"[{len(images)}, classes]; export it again"
            )
        return logits

    def bind(self, images: Images) -> Callable[[], object]:
        """`session.run` on these images and nothing around it."""
        run, outputs, feed = self._session.run, ["logits"], {self._name: images}
        return lambda: run(outputs, feed)


class Closed:
    """In the place of an engine that was closed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.metadata: dict[str, str] = {}
        self.input: tuple[str, tuple[Any, ...]] = ("", ())
        self.outputs: Any = None

    def run(self, images: Images) -> NDArray[np.float32]:  # noqa: ARG002
        """Raise ModelFileError."""
        raise ModelFileError(f"{self._name} was closed: open it again by Classifier({self._name!r})")

    def bind(self, images: Images) -> Callable[[], object]:
        """Raise ModelFileError."""
        return lambda: self.run(images)
