"""Which exported files this machine wrote: their SHA-256s, in the user's own data folder.

A file of a format that can carry code says nothing about who made it: whoever forges the file forges every hash that
travels with it, a manifest too. What does not travel is this user's data folder; a hash that is in there was put there
by an export on this machine. It holds names of hashes and nothing else.
"""

import contextlib
from pathlib import Path


def folder() -> Path:
    """Where the hashes are kept, one empty file each, so that processes may write at once."""
    from platformdirs import user_data_path

    return Path(user_data_path("lenet-edge", appauthor=False)) / "own-files"


def remember(sha256: str) -> None:
    """Note that this machine wrote the file or folder with this SHA-256 (`formats.sha256_of`).

    Where the data folder cannot be written to nothing is noted; whoever opens such a file is told so, by `--trust`.
    """
    with contextlib.suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder() / sha256).touch()


def is_own(sha256: str) -> bool:
    """Whether this machine wrote it."""
    return (folder() / sha256).is_file()
