"""What a file that was refused or stopped leaves behind in the program that asked: nothing that can hurt it later."""

import gc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace, TracebackType

import numpy as np
import pytest

from lenet_edge_runtime import ModelFileError, guard
from lenet_edge_runtime.guard import Guard, Limits

VERBS = {"inspect": 0, "run": 1, "time": 2}  # and the arrays that each sends


def frames(error: BaseException | None) -> Iterator[SimpleNamespace]:
    """The local variables of each frame that an error keeps alive, its causes' frames too."""
    while error is not None:
        trace: TracebackType | None = error.__traceback__
        while trace is not None:
            yield SimpleNamespace(name=trace.tb_frame.f_code.co_name, local_variables=trace.tb_frame.f_locals)
            trace = trace.tb_next
        error = error.__context__


def ask(verb: str, seconds: float, path: Path) -> ModelFileError:
    arrays = [np.zeros((4, 1, 28, 28), np.float32)] * VERBS[verb]
    numbers = {"classes": 10, "threads": 1, "rounds": 1, "calls": 1, "warmup": 0}
    with pytest.raises(ModelFileError) as caught:
        Guard(Limits(seconds=seconds)).ask(verb, [path] * max(1, len(arrays)), arrays, **numbers)
    return caught.value


@pytest.mark.parametrize("seconds", [0.001, 25], ids=["stopped", "refused"])
@pytest.mark.parametrize("verb", VERBS)
def test_an_error_keeps_no_view_of_memory_that_can_be_resized(verb: str, seconds: float, tmp_path: Path) -> None:
    """Such a view, in a circle of objects, is a memory fault: Python 3.12 crashes in its collector."""
    path = tmp_path / "no-model.onnx"
    path.write_bytes(b"nothing that onnxruntime knows")
    error = ask(verb, seconds, path)
    views = {
        f"{frame.name}: {name} of {type(value.obj).__name__}"
        for frame in frames(error)
        for name, value in frame.local_variables.items()
        if isinstance(value, memoryview) and not isinstance(value.obj, bytes)
    }
    assert views == set()
    circle: list[object] = [error]
    circle.append(circle)
    del error, circle
    gc.collect()


def test_a_crash_of_the_child_leaves_the_parent_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child is killed from outside, as a kernel's fault or the system's memory would kill it."""
    monkeypatch.setattr(guard, "child_environment", lambda: {"PYTHONPATH": str(tmp_path)})
    (tmp_path / "lenet_edge_runtime").mkdir()
    (tmp_path / "lenet_edge_runtime" / "__init__.py").touch()
    (tmp_path / "lenet_edge_runtime" / "worker.py").write_text("import os\nos.abort()\n", encoding="utf-8")
    for verb in VERBS:
        circle: list[object] = [ask(verb, 25, tmp_path)]
        circle.append(circle)
        assert "crashes onnxruntime" in str(circle[0])
    del circle
    gc.collect()
