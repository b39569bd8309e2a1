"""The child process of `guard.py`: opens and runs foreign ONNX files under limits.

stdin: a request, one line of JSON, then arrays in NumPy's .npy format. stdout: the answer in the same form.
"""

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime import onnx_file
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.external_data import check_locations
from lenet_edge_runtime.latency import measure
from lenet_edge_runtime.reading import read_text
from lenet_edge_runtime.sessions import open_session, read_model

# ONNX's own domains, and that of onnxruntime, whose quantizer and optimiser write operators of it.
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
VALUES_A_CALL = 2**23  # pixels of a batch: 32 MiB of float32

Request = dict[str, Any]
Answer = tuple[dict[str, Any], NDArray[np.generic] | None]


def check(path: str, content: bytes, file_bytes: int, nodes: int) -> onnx_file.OnnxSummary:
    """What a file consists of; raise ModelFileError for one that is refused without being run."""
    if len(content) > file_bytes:
        raise ModelFileError(f"{path} is larger than {file_bytes / 2**20:g} MiB: not a model for this tool")
    try:
        summary = onnx_file.summarise(content)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
    if summary.has_external_data:
        check_locations(Path(path), summary.external_files, file_bytes)
    found = sum(summary.operators.values())
    if found > nodes:
        raise ModelFileError(f"{path} has {found:,} nodes, more than {nodes:,}: not a model for this tool")
    for operator in summary.operators:
        domain, separator, _ = operator.rpartition("::")
        if separator and domain not in DOMAINS:
            raise ModelFileError(
                f"{path} has the operator {operator[:100]}; only those of {', '.join(DOMAINS[1:])} are run"
            )
    return summary


def inspect(request: Request, _: list[NDArray[Any]]) -> Answer:
    """Types and shapes of the inputs and outputs of a file."""
    session, summary = _open(request, 0)
    described: dict[str, Any] = {
        key: [{"type": item.type, "shape": list(item.shape)} for item in items]
        for key, items in (("inputs", session.get_inputs()), ("outputs", session.get_outputs()))
    }
    return {**described, "last_operators": list(summary.last_operators)}, None


def run(request: Request, arrays: list[NDArray[Any]]) -> Answer:
    """The classifier's output, float32 [n, classes], for images as its input wants them."""
    (images,) = arrays
    session, _ = _open(request, 0)
    batch = session.get_inputs()[0].shape[0]
    step = batch if isinstance(batch, int) else max(1, min(256, VALUES_A_CALL // images[0].size))
    call, rows = None, []
    for start in range(0, len(images), step):
        chunk = images[start : start + step]
        missing = step - len(chunk) if isinstance(batch, int) else 0
        feed = np.concatenate([chunk, np.zeros((missing, *chunk.shape[1:]), chunk.dtype)]) if missing else chunk
        call = call or _caller(request["paths"][0], session, feed, request["classes"])
        rows.append(call(feed)[: len(chunk)])
    return {}, np.concatenate(rows).astype(np.float32)


def time(request: Request, arrays: list[NDArray[Any]]) -> Answer:
    """Time the bare call of every file on its images, one array a file, interleaved over fresh sessions."""

    def opener(index: int) -> Callable[[], Callable[[], NDArray[Any]]]:
        def load() -> Callable[[], NDArray[Any]]:
            call = _caller(request["paths"][index], _open(request, index)[0], arrays[index], request["classes"])
            return lambda: call(arrays[index])

        return load

    openers = {str(index): opener(index) for index in range(len(arrays))}
    before = {name: load()() for name, load in openers.items()}
    timings = measure(openers, rounds=request["rounds"], calls=request["calls"], warmup=request["warmup"])
    for name, load in openers.items():
        if not np.allclose(load()(), before[name], rtol=1e-4, atol=1e-6, equal_nan=True):
            raise ModelFileError(
                f"{request['paths'][int(name)]} gives other answers for the same images: its timing means nothing"
            )
    return {"timings": [asdict(timings[name]) for name in openers]}, None


VERBS: dict[str, Callable[[Request, list[NDArray[Any]]], Answer]] = {
    function.__name__: function for function in (inspect, run, time)
}


def main(verbs: Mapping[str, Callable[[Request, list[NDArray[Any]]], Answer]] = VERBS) -> None:
    """Answer one request; the limit on memory comes on top of what this process has taken so far."""
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what onnxruntime prints is no part of the answer
    stream = io.BytesIO(sys.stdin.buffer.read())  # in memory: NumPy wants to know positions in real files
    request = json.loads(stream.readline())
    names = ", ".join(request["paths"])
    _limit(request["limits"], request.get("threads", 1), 0 if verbs is VERBS else address_space())
    try:
        arrays = [_read(stream) for _ in range(request["arrays"])]
        answer, array = verbs[request["verb"]](request, arrays)
    except ModelFileError as error:
        answer, array = {"error": str(error)}, None
    except Exception as error:  # onnxruntime raises a dozen types of its own, with no common base
        reason = str(error).strip().split("\n")[0][:300] or type(error).__name__
        answer, array = {"error": f"{names} cannot be run within the limits ({reason})"}, None
    content = io.BytesIO()
    content.write(json.dumps({"array": array is not None, **answer}).encode() + b"\n")
    if array is not None:
        np.lib.format.write_array(content, array, allow_pickle=False)
    with pipe:
        pipe.write(content.getvalue())


def _limit(limits: dict[str, float], threads: int, already: int) -> None:
    """Limit this process, where the system can, to so much address space on top of `already` bytes."""
    try:
        import resource
    except ImportError:  # Windows: the parent's clock alone limits
        return
    seconds = int(threads * limits["seconds"]) + 5  # of processor time: ends it where the parent was killed
    for kind, value in (
        (resource.RLIMIT_AS, int(limits["memory_bytes"]) + already),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # macOS refuses RLIMIT_AS; a lower limit may stand already
            resource.setrlimit(kind, (value, value))


def address_space() -> int:
    """Bytes of addresses that this process has taken; 0 on systems that do not tell (all but Linux)."""
    try:
        lines = read_text("/proc/self/status").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmSize:"))


def _open(request: Request, index: int) -> tuple[Any, onnx_file.OnnxSummary]:
    limits, path = request["limits"], request["paths"][index]
    summary = check(path, read_model(path), limits["file_bytes"], limits["nodes"])
    return open_session(path, request.get("threads", 1), with_external_data=summary.has_external_data), summary


def _caller(path: str, session: Any, images: NDArray[Any], classes: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """The bare call for the first output that is float [n, classes], or that with 1s behind; else ModelFileError."""
    name = session.get_inputs()[0].name
    found = session.run(None, {name: images})
    for output, value in zip(session.get_outputs(), found, strict=True):
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and _is_answer(value.shape, len(images), classes):
            names = [output.name]
            return lambda feed: np.asarray(session.run(names, {name: feed})[0]).reshape(len(feed), classes)
    shapes = ", ".join(f"{value.dtype} {list(value.shape)}" for value in found if isinstance(value, np.ndarray))
    raise ModelFileError(
        f"{path} has no output of float [{len(images)}, {classes}], one column per label; got {shapes or 'no array'}"
    )


def _is_answer(shape: tuple[int, ...], images: int, classes: int) -> bool:
    return shape[:1] == (images,) and [size for size in shape[1:] if size != 1] == [classes]


def _read(stream: IO[bytes]) -> NDArray[Any]:
    return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))


if __name__ == "__main__":
    main()
