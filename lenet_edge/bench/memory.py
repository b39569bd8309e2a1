"""How much memory a model takes: the growth of a fresh process that opens and runs it and nothing else.

In the measuring process itself many sessions come and go, and freed memory is used again: a child for each model is
the only honest scale. What the packages take by being imported is in the process, not in the growth.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lenet_edge.runs.run import Run
from lenet_edge_exporters import open_file
from lenet_edge_exporters.formats import format_of
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.guard import child_environment
from lenet_edge_runtime.host import resident_bytes

CALLS = 100  # after which a session's buffers have reached their size


@dataclass(frozen=True)
class Memory:
    """Resident bytes (VmRSS): growth by opening, growth by the calls after it, and the whole process at the end."""

    load_bytes: int
    run_bytes: int
    process_bytes: int


def measure_memory(model: Path | Run, shape: tuple[int, ...], threads: int) -> Memory | None:
    """Open an exported file, or a run's PyTorch model, in a fresh process and run images of `shape`, [n, c, h, w].

    None on systems that do not tell (all but Linux). Raises ModelFileError where the process fails.
    """
    if resident_bytes() is None:
        return None
    path, kind = (model.folder, "run") if isinstance(model, Run) else (model, "file")
    request = json.dumps(
        {"path": str(path), "kind": kind, "shape": shape, "threads": threads, "programs": _programs(kind)}
    )
    child = subprocess.run(
        [sys.executable, "-P", "-m", "lenet_edge.bench.memory"],
        input=request, capture_output=True, text=True, check=False, env=child_environment(),
    )  # fmt: skip
    if child.returncode:
        reason = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        raise ModelFileError(f"{path} cannot be run in a process of its own ({reason})")
    before, loaded, after = json.loads(child.stdout)
    return Memory(loaded - before, after - loaded, after)


def main() -> None:
    """In the child: print the resident bytes before the model is opened, after that, and after its calls."""
    request = json.load(sys.stdin)
    path, threads = Path(request["path"]), request["threads"]
    images = np.zeros(request["shape"], np.uint8)
    _import_backend(request["kind"], path, request["programs"])
    resident = [resident_bytes()]
    if request["kind"] == "run":
        from lenet_edge.runs.reference import run_model

        call = run_model(Run(path), threads).bind(images)
    else:
        call = open_file(path, threads)[1].bind(images)
    resident.append(resident_bytes())
    for _ in range(CALLS):
        call()
    resident.append(resident_bytes())
    sys.stdout.write(json.dumps(resident))


def _programs(kind: str) -> list[str]:
    """The programs of the user's own networks that were named to this process."""
    if kind != "run":
        return []
    from lenet_edge.networks.own import given  # imports torch

    return given()


def _import_backend(kind: str, path: Path, programs: list[str]) -> None:
    """Import what runs the model, so that it does not count as the model's."""
    if kind == "file" and format_of(path).backend == "onnxruntime":
        import onnxruntime  # noqa: F401
    elif kind == "file" and format_of(path).backend == "litert":
        import ai_edge_litert.interpreter  # noqa: F401
    elif kind == "run" or format_of(path).backend in ("torchscript", "pytorch"):
        import lenet_edge.runs.reference  # noqa: F401
    if programs:
        from lenet_edge.networks.own import give

        for argument in programs:
            give(argument)


if __name__ == "__main__":
    main()
