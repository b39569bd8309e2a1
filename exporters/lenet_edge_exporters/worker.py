"""The child process of `guarded.py`: opens and runs one exported file under limits."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lenet_edge_exporters.export_job import LoadedModel
from lenet_edge_runtime import worker


def describe(request: worker.Request, _: list[NDArray[Any]]) -> worker.Answer:
    """The file's metadata."""
    return {"metadata": {str(key): str(value) for key, value in _open(request).metadata.items()}}, None


def logits(request: worker.Request, arrays: list[NDArray[Any]]) -> worker.Answer:
    """Logits, float32 [n, classes], of raw pixels."""
    return {}, _open(request).logits(arrays[0])


def _open(request: worker.Request) -> LoadedModel:
    from lenet_edge_exporters.formats import format_of

    path = Path(request["paths"][0])
    return format_of(path).load(path, 1)


if __name__ == "__main__":
    import torch  # noqa: F401 - before the limits: its libraries take 3 GiB of addresses, and more with CUDA

    worker.main({"describe": describe, "logits": logits})
