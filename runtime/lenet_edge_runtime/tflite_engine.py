"""TFLite files on LiteRT's interpreter, with XNNPACK as it comes: https://ai.google.dev/edge/litert."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime import tflite_file
from lenet_edge_runtime.errors import ModelFileError

Images = NDArray[np.uint8] | NDArray[np.float32]  # [n, channels, height, width]


class TfliteEngine:
    """A TFLite file, opened once. An interpreter serves one call at a time: threads wait for each other."""

    def __init__(self, content: bytes, name: str, threads: int = 1) -> None:
        self.metadata = tflite_file.metadata_of(content)
        self._lock = threading.Lock()
        self._interpreter = _interpreter(content, name, threads)
        (taken,), (given,) = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        height, width, channels = (int(size) for size in taken["shape"][1:])
        self.input = (np.dtype(taken["dtype"]).name, (channels, height, width))
        self.outputs: object = int(given["shape"][-1])
        self._source, self._target = taken["index"], given["index"]
        self._scale, self._zero_point = (np.float32(number) for number in given["quantization"])

    def run(self, images: Images) -> NDArray[np.float32]:
        """The logits, float32 [n, classes]: of int8 ones what their codes stand for."""
        with self._lock:
            self._feed(images)
            self._interpreter.invoke()
            found = self._interpreter.get_tensor(self._target)
        if found.dtype == np.float32:
            return np.asarray(found)
        logits: NDArray[np.float32] = self._scale * (found.astype(np.float32) - self._zero_point)
        return logits

    def bind(self, images: Images) -> Callable[[], object]:
        """The interpreter's call with these images in place, for timing; another `run` puts others there."""
        with self._lock:
            self._feed(images)
        call: Callable[[], object] = self._interpreter.invoke
        return call

    def _feed(self, images: Images) -> None:
        """Hand the images over, channels last, and make room for as many as there are."""
        interpreter, taken = self._interpreter, np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        if tuple(interpreter.get_input_details()[0]["shape"]) != taken.shape:
            interpreter.resize_tensor_input(self._source, taken.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(self._source, taken)


def _interpreter(content: bytes, name: str, threads: int) -> Any:
    tflite_file.schema()  # which says what to install where LiteRT is not
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_content=content, num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise ModelFileError(f"{name} is not a TFLite model that LiteRT can run ({reason})") from None
    return interpreter
