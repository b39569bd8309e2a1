"""A file that can run code, and that somebody else made, in a child process with limits on its time and memory.

`--trust` lets it run at all; the limits keep what runs from taking the machine. They are no prison: the child may do
what its user may. WebAssembly is the exception: Node's permission model keeps it from files, processes and threads.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.guard import Guard, Limits
from lenet_edge_runtime.metadata import of_text

LIMITS = Limits(seconds=120.0)  # torch alone takes seconds to import
WORKER = "lenet_edge_exporters.worker"


class GuardedModel:
    """An exported file of any format, with the verbs of `LoadedModel`; each call has a child of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = Guard(LIMITS, WORKER)
        answer, _ = self._guard.ask("describe", [path])
        try:  # what the file brings runs in the child, and may answer in its place
            self.metadata: dict[str, str] = of_text(json.dumps(answer.get("metadata")))
        except ValueError as error:
            raise ModelFileError(f"{path} gives metadata that is none ({error}): do not use it") from None

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw pixels, uint8 [n, c, h, w], to logits, float32 [n, classes]."""
        _, found = self._guard.ask("logits", [self._path], [pixels])
        if found is None or found.dtype != np.float32 or found.ndim != 2 or len(found) != len(pixels):
            raise ModelFileError(f"{self._path} gives no logits [{len(pixels)}, classes]: do not use it")
        return np.asarray(found, np.float32)

    def bind(self, pixels: NDArray[np.uint8]) -> Callable[[], object]:
        """Raises ModelFileError: what could be timed is the start of a process."""
        del pixels
        raise ModelFileError(f"{self._path} runs in a process of its own, whose start is all that could be timed here")
