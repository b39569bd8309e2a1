"""Temporary files and folders that know whether their process still lives: a killed one's are removed by the next run.

Who makes one holds a lock on it (flock), which the system lets go when the process ends, however it ends. On systems
without such locks (Windows) nothing is swept.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SCRATCH = "lenet-edge-"


@contextlib.contextmanager
def claimed(make: Callable[[], tuple[int | None, str]]) -> Iterator[Path]:
    """Make a temporary file or folder by `make` (its open handle, if any, and its path) and hold it while in use."""
    while True:
        handle, name = make()
        if fcntl is None:
            if handle is not None:
                os.close(handle)
            yield Path(name)
            return
        held = os.open(name, os.O_RDONLY) if handle is None else handle
        try:
            with contextlib.suppress(OSError):  # a file system without locks: it is then never swept
                fcntl.flock(held, fcntl.LOCK_EX)
            if os.path.exists(name):  # noqa: PTH110 - and not swept between the two lines
                yield Path(name)
                return
        finally:
            os.close(held)


def find(folder: Path, prefix: str) -> list[Path]:
    """What lies in a folder under such a name."""
    with contextlib.suppress(OSError):
        return [Path(entry.path) for entry in os.scandir(folder) if entry.name.startswith(prefix)]
    return []


@contextlib.contextmanager
def abandoned(path: Path) -> Iterator[bool]:
    """Whether nobody holds a file or folder of this user; held by this process within the block."""
    if fcntl is None:
        yield False
        return
    try:
        held = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = os.fstat(held).st_uid == getattr(os, "getuid", int)()
        except OSError:
            free = False
        yield free
    finally:
        os.close(held)


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it; what cannot be removed stays."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def scratch() -> Iterator[None]:
    """Have all temporary files of this process and its children in one folder, which is removed at the end.

    Those that killed processes left are removed first. Where no temporary folder can be written to nothing is done:
    whoever needs one says so.
    """
    for path in find(Path(tempfile.gettempdir()), SCRATCH):
        with abandoned(path) as is_abandoned:
            if is_abandoned:
                remove(path)
    with contextlib.ExitStack() as stack:
        try:
            place = stack.enter_context(claimed(lambda: (None, tempfile.mkdtemp(prefix=SCRATCH))))
        except OSError:
            yield
            return
        before, variable = tempfile.tempdir, os.environ.get("TMPDIR")
        tempfile.tempdir = os.environ["TMPDIR"] = str(place)
        try:
            yield
        finally:
            tempfile.tempdir = before
            del os.environ["TMPDIR"]
            if variable is not None:
                os.environ["TMPDIR"] = variable
            remove(place)
