"""Files that nobody vouches for run in a child process, with limits on its time and memory.

onnxruntime computes constant parts of a graph when it opens it, so that merely opening a hostile file can take for
ever or ask for 100 GB, and a fault in a kernel takes the whole process with it. Whatever happens to the child
(`worker.py`), the parent gets an answer or one ModelFileError.
"""

import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.printable import printable


@dataclass(frozen=True)
class Limits:
    """What a foreign file may use. An image classifier for a device is far below all of them."""

    seconds: float = 25.0  # of wall clock, for all children of one guard together: with what comes around them below 30
    memory_bytes: int = 4 * 2**30  # of address space, on systems that limit it (Linux; not Windows, not macOS)
    file_bytes: int = 256 * 2**20
    nodes: int = 2000  # ResNet-152 has 515
    side: int = 1024  # pixels


ONNX_WORKER = "lenet_edge_runtime.worker"


class Guard:
    """Starts the children; their time together is limited, and what the parent does between them costs none of it.

    `worker` is the module that the child runs: that of foreign ONNX files, or one with other verbs.
    """

    def __init__(self, limits: Limits | None = None, worker: str = ONNX_WORKER) -> None:
        self.limits = limits or Limits()
        self._worker = worker
        self._left = self.limits.seconds

    def ask(
        self, verb: str, paths: Sequence[Path], arrays: Sequence[NDArray[np.generic]] = (), **fields: int
    ) -> tuple[dict[str, Any], NDArray[np.generic] | None]:
        """Have a child do `verb` (a function of `worker.py`) on files and arrays; return its answer.

        Raises ModelFileError for what the child found wrong, and where it crashed or was stopped.
        """
        names = ", ".join(map(str, paths))
        request = {
            "verb": verb,
            "paths": list(map(str, paths)),
            "limits": asdict(self.limits),
            "arrays": len(arrays),
            **fields,
        }
        content = io.BytesIO(json.dumps(request).encode() + b"\n")
        content.seek(0, io.SEEK_END)
        for array in arrays:
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
        start = time.monotonic()
        try:
            child = subprocess.run(
                # -P: a folder that happens to hold a numpy.py is not where the child imports from.
                [sys.executable, "-P", "-B", "-m", self._worker],
                # Bytes: a view of the buffer that an error keeps alive crashes Python 3.12 in its collector.
                input=content.getvalue(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=child_environment(),
                timeout=max(self._left, 0.001),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ModelFileError(self._too_slow(names)) from None
        finally:
            self._left -= time.monotonic() - start
        if child.returncode == -getattr(signal, "SIGXCPU", 0) != 0:
            raise ModelFileError(self._too_slow(names))
        return _answer(child, names, "onnxruntime" if self._worker == ONNX_WORKER else "what runs it")

    def _too_slow(self, names: str) -> str:
        stopped = f"{names} was stopped: it is not done after {self.limits.seconds:g} s"
        if self._worker != ONNX_WORKER:
            return f"{stopped}; do not use it"
        return f"{stopped}; if you know where it comes from, allow it more by --time-limit"


def child_environment() -> dict[str, str]:
    """The parent's, with its import path, and no threads of BLAS: each takes up address space."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}


def _answer(child: "subprocess.CompletedProcess[bytes]", names: str, engine: str) -> tuple[dict[str, Any], Any]:
    stream = io.BytesIO(child.stdout)
    try:
        answer = dict(json.loads(stream.readline()))
        wrong = answer.get("error")
        with warnings.catch_warnings(action="ignore"):  # of headers in the manner of Python 2, which are refused next
            array = np.lib.format.read_array(stream, allow_pickle=False) if wrong is None and answer["array"] else None
    except (ValueError, TypeError, KeyError, RecursionError, MemoryError):
        how = signal.Signals(-child.returncode).name if child.returncode < 0 else f"exit code {child.returncode}"
        raise ModelFileError(f"{names} crashes {engine} ({how}): do not use it") from None
    if wrong is not None:
        raise ModelFileError(printable(str(wrong)))
    return answer, array
