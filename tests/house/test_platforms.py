"""Windows and macOS, which no machine here has: what only POSIX has is taken away, and everything still works.

os.name stays "posix": these tests see what is imported and called, not what another system does.
"""

import ast
import fcntl
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lenet_edge.data.image_data import ImageData
from lenet_edge.runs import checkpoints
from lenet_edge.runs.run import Run
from lenet_edge_exporters import atomic
from lenet_edge_runtime import Classifier
from trained_runs import exported

ROOT = Path(__file__).parents[2]
SOURCES = [
    file
    for folder in ("lenet_edge", "exporters/lenet_edge_exporters", "runtime/lenet_edge_runtime")
    for file in sorted((ROOT / folder).rglob("*.py"))
]
POSIX_MODULES = ("fcntl", "grp", "posixpath", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty")
# What os, signal and time have on Linux and not on Windows, as far as a program like this may be tempted.
POSIX_NAMES = {
    "os": (
        "fork", "forkpty", "getuid", "geteuid", "getgid", "getegid", "getpgid", "killpg", "setsid", "setpgid", "uname",
        "nice", "sched_getaffinity", "sched_setaffinity", "getloadavg", "chown", "fchmod", "fchown", "lchown", "mkfifo",
        "mknod", "pread", "pwrite", "statvfs", "fstatvfs", "sysconf", "wait", "getpriority", "setpriority", "sync",
        "O_NOFOLLOW", "O_DIRECTORY", "O_NONBLOCK", "O_CLOEXEC", "WNOHANG", "memfd_create", "sendfile",
    ),
    "signal": (
        "SIGKILL", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE", "SIGCHLD", "SIGXCPU", "SIGSTOP",
        "alarm", "setitimer", "pause", "pthread_kill", "pthread_sigmask", "sigwait", "siginterrupt",
    ),
    "time": ("clock_gettime", "tzset"),
}  # fmt: skip
# The standard library needs more of them on this system, so that only these can be taken away from a whole process; a
# module is refused to our packages alone.
REMOVED = f"""
import builtins, os
for name in ("fork", "forkpty", "sched_getaffinity", "sched_setaffinity", "getloadavg", "killpg", "setsid", "nice"):
    os.__dict__.pop(name, None)
original = builtins.__import__

def importing(name, globals=None, *rest, **named):
    if name in {POSIX_MODULES!r} and (globals or {{}}).get("__name__", "").startswith("lenet_edge"):
        raise ImportError(f"no module named {{name}} here")
    return original(name, globals, *rest, **named)

builtins.__import__ = importing
"""


def guarded(tree: ast.AST) -> Iterator[ast.AST]:
    """The imports that a `try` with `except ImportError` surrounds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and any(
            isinstance(handler.type, ast.Name) and handler.type.id in ("ImportError", "ModuleNotFoundError")
            for handler in node.handlers
        ):
            yield from (inner for statement in node.body for inner in ast.walk(statement))


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_needs_a_posix_module_or_function(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    alternatives = set(guarded(tree))
    asked = set(re.findall(r"(?:has|get)attr\((?:os|signal|time), \"(\w+)\"", text))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and node not in alternatives:
            modules = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [name for name in modules if name in POSIX_MODULES]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr not in asked:
            found += [f"{node.value.id}.{node.attr}"] if node.attr in POSIX_NAMES.get(node.value.id, ()) else []
    assert found == []


def test_text_files_are_opened_with_their_encoding() -> None:
    """Without one Windows takes its code page. The rule is a preview of ruff's, and previews change other rules."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--preview", "--select", "PLW1514", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def without_posix(folder: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run this Python, its child processes too, without what Windows lacks.

    Their temporary folder is their own: without flock nothing tells the other tests' processes that it is in use.
    """
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(REMOVED, encoding="utf-8")
    path = os.pathsep.join([str(folder), *(entry for entry in sys.path if entry)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, encoding="utf-8",
    )  # fmt: skip


def test_everything_is_imported_without_posix_modules(tmp_path: Path) -> None:
    names = [_module_name(file) for file in SOURCES if file.name != "__main__.py"]
    code = f"import importlib, os; assert not hasattr(os, 'fork')\nfor name in {names!r}: importlib.import_module(name)"
    done = without_posix(tmp_path / "work", "-c", code)
    assert done.returncode == 0, done.stderr


def _module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] in ("exporters", "runtime") else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_the_base_install_works_without_posix_modules(tmp_path: Path, digits_run: Run, digits: ImageData) -> None:
    from PIL import Image

    file = exported(digits_run, "int8")
    Image.fromarray(digits.test_pixels[0, 0]).save(tmp_path / "digit.png")
    for arguments in (
        ("predict", file, tmp_path / "digit.png"),
        ("verify", file),
        ("info", file),
        ("bench", "--rounds", "2", "--calls", "5", file),
    ):
        done = without_posix(tmp_path / "work", "-m", "lenet_edge", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)


def test_train_and_export_work_without_posix_modules(tmp_path: Path) -> None:
    for arguments in (
        ("train", "--dataset", "digits", "--epochs", "1", "--threads", "1"),
        ("export", "--int8", "--max-drop", "100"),
    ):
        done = without_posix(tmp_path / "work", "-m", "lenet_edge", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)


SPAWNED = """
import multiprocessing, sys
import numpy as np
from lenet_edge_runtime import Classifier

def logits(path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 1, 28, 28), dtype=np.uint8)
    return Classifier(path).logits(pixels)

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        np.save(sys.argv[2], np.stack(pool.map(logits, [sys.argv[1]] * 2)))
"""


def test_processes_that_are_spawned_answer_alike(tmp_path: Path, digits_run: Run) -> None:
    """Windows and macOS start processes by "spawn": a fresh interpreter, which imports everything anew."""
    file = exported(digits_run, "int8")
    script, answers = tmp_path / "spawned.py", tmp_path / "answers.npy"
    script.write_text(SPAWNED, encoding="utf-8")
    done = without_posix(tmp_path / "work", script, file, answers)
    assert done.returncode == 0, done.stderr
    pixels = np.random.default_rng(0).integers(0, 256, (20, 1, 28, 28), dtype=np.uint8)
    expected = Classifier(file).logits(pixels)
    assert all(np.array_equal(found, expected) for found in np.load(answers))


def test_what_is_flushed_to_the_disk_may_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses to flush a file that was opened to be read."""
    modes = []
    monkeypatch.setattr(os, "fsync", lambda number: modes.append(fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE))
    atomic.write_bytes(tmp_path / "file", b"content")
    assert modes == [os.O_RDWR]
    assert (tmp_path / "file").read_bytes() == b"content"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists its mapped files")
def test_a_file_that_was_read_may_be_replaced(tmp_path: Path, digits_run: Run) -> None:
    """Windows refuses to replace a file while it is mapped into memory."""
    from lenet_edge.networks.models import build_model

    torch = importlib.import_module("torch")
    net = build_model(digits_run.read().recipe.model)
    weights, state = tmp_path / "weights.safetensors", tmp_path / "checkpoint.safetensors"
    checkpoints.save_weights(weights, net)
    checkpoints.save_state(state, checkpoints.TrainingState(3, {"a.b": torch.arange(6.0)}))
    checkpoints.load_weights(weights, net)
    loaded = checkpoints.load_state(state)
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    assert str(weights) not in maps
    assert str(state) not in maps
    assert loaded.epoch == 3
    assert torch.equal(loaded.tensors["a.b"], torch.arange(6.0))


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_pipes_carry_utf_8_whatever_the_system_has(stream: str) -> None:
    """In a pipe Python takes Windows' cp1252, which has no Japanese label."""
    code = (
        "import sys; from lenet_edge import cli; cli.app = lambda: print('お', file=getattr(sys, sys.argv[1])); "
        "cli.main()"
    )
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run([sys.executable, "-c", code, stream], capture_output=True, env=environment, check=True)
    assert getattr(done, stream).decode().strip() == "お"
