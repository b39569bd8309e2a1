"""The one way files that were named are read: regular files alone, and no more of one than its kind can need.

A named pipe keeps whoever opens it waiting for ever, a device such as /dev/zero never ends, and a socket is no file;
each of them may stand behind an innocent name, or a link.
"""

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MODEL_BYTES = 512 * 2**20  # of models and weights
IMAGE_BYTES = 1024 * 2**20  # 50 million pixels of three 16-bit colours, uncompressed, are 300 MB
TEXT_BYTES = 16 * 2**20  # of records, histories, results and lists of labels

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_regular(path: Path | str, limit: int = MODEL_BYTES) -> None:
    """Raise OSError where `path` is missing, is no regular file, or has more than `limit` bytes; opens nothing."""
    _check(os.stat(path), path, limit)  # noqa: PTH116 - `path` may be text


@contextlib.contextmanager
def opened(path: Path | str, limit: int) -> Iterator[BinaryIO]:
    """A regular file for reading; raises OSError as `check_regular` does."""
    check_regular(path, limit)  # before it is opened: opening alone moves some devices
    # What has become a pipe in between does not keep us waiting, and is found out.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with io.open(handle, "rb") as file:  # noqa: UP020 - of a handle
        _check(os.fstat(handle), path, limit)
        yield file


def read_bytes(path: Path | str, limit: int = MODEL_BYTES) -> bytes:
    """A regular file's content; raises OSError as `check_regular` does, also for a file that grows beyond `limit`."""
    with opened(path, limit) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise _too_large(path, limit)
    return content


def read_text(path: Path | str, limit: int = TEXT_BYTES) -> str:
    """A regular file of UTF-8; raises OSError as `check_regular` does, and UnicodeDecodeError for another encoding."""
    return read_bytes(path, limit).decode("utf-8").replace("\r\n", "\n")


def real_path(path: Path | str) -> Path:
    """The absolute path behind all links; a link to itself stays as it is, where `Path.resolve` raises RuntimeError."""
    return Path(os.path.realpath(path))


def _check(found: os.stat_result, path: Path | str, limit: int) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}, expected a regular file", str(path))
    if found.st_size > limit:
        raise _too_large(path, limit)


def _too_large(path: Path | str, limit: int) -> OSError:
    return OSError(errno.EFBIG, f"it is larger than {limit // 2**20} MiB", str(path))
