"""Calls with input and output bound beforehand (onnxruntime's I/O binding): no array is made or named in a call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime.images import to_input
from lenet_edge_runtime.sessions import open_session
from lenet_edge_runtime.spec import ModelSpec, input_type_of


def bind_io(path: Path, pixels: NDArray[np.uint8], threads: int = 1) -> Callable[[], object]:
    """Open an ONNX or ORT file of ours and return the bare call on `pixels`, uint8 [n, c, h, w], for timing.

    The call leaves its logits in a buffer of onnxruntime's; it returns nothing.
    """
    import onnxruntime

    session = open_session(path, threads)
    metadata = dict(session.get_modelmeta().custom_metadata_map)
    fed = to_input(pixels, ModelSpec.from_metadata(metadata), input_type_of(metadata))
    binding = session.io_binding()
    binding.bind_ortvalue_input(session.get_inputs()[0].name, onnxruntime.OrtValue.ortvalue_from_numpy(fed))
    binding.bind_output("logits", "cpu")
    run = session.run_with_iobinding

    def call() -> object:
        return run(binding)

    call.__dict__["images"] = fed  # which onnxruntime reads from, and 1.20 holds no reference to
    return call
