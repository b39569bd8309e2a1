"""A manifest lists the files of a run, or of a folder of exports: name, size and SHA-256 of each.

It stands beside them as `lenet-edge-manifest.json` and is written by whoever writes the files. What it lists is
compared with it before any of it is opened: one flipped bit in weights or in a TorchScript file loads silently. It
finds accidents; who made the files it does not prove (`own_files.py`, `lenet-edge sign`).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from lenet_edge_exporters import atomic
from lenet_edge_runtime.errors import GateError, ModelFileError
from lenet_edge_runtime.reading import read_bytes, read_text, real_path

NAME = "lenet-edge-manifest.json"
SCHEMA = "lenet-edge manifest 1"
EXPORTS = "export"  # a run's folder of exports, whose files are in the run's manifest


@dataclass(frozen=True)
class Entry:
    """Size and SHA-256 of one file."""

    bytes: int
    sha256: str


def read(folder: Path) -> dict[str, Entry]:
    """The entries of a folder's manifest by name; empty where it has none. ModelFileError for a damaged one."""
    path = folder / NAME
    if not path.is_file():
        return {}
    try:
        document = json.loads(read_text(path))
        if document["schema"] != SCHEMA:
            raise ValueError(f"its schema is {str(document['schema'])[:40]!r}")
        return dict(_entry(name, values) for name, values in document["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFileError(
            f"{path} is damaged ({type(error).__name__}: {str(error)[:100]}); copy it anew, or remove it "
            f"and export again"
        ) from None


def _entry(name: str, values: dict[str, object]) -> tuple[str, Entry]:
    size, sha256 = values["bytes"], values["sha256"]
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name:
        raise ValueError(f"{name[:80]!r} is no name of a file in the folder")
    if not isinstance(size, int) or not isinstance(sha256, str):
        raise TypeError(f"{name[:80]!r} has no size or no SHA-256")
    return name, Entry(size, sha256)


def add(folder: Path, paths: Iterable[Path]) -> None:
    """List these files (of folders all files) with the bytes they have now; entries of files that are gone go.

    Called by who has just written them, under the run's lock where it is a run.
    """
    update(folder, {path: read_bytes(path) for path in _files(paths)})


def update(folder: Path, contents: dict[Path, bytes]) -> None:
    """The same for files whose bytes are known, and which may be written after this."""
    listed = {name: entry for name, entry in read(folder).items() if (folder / name).is_file()}
    for path, content in contents.items():
        name = real_path(path).relative_to(real_path(folder)).as_posix()
        listed[name] = Entry(len(content), hashlib.sha256(content).hexdigest())
    document = {"schema": SCHEMA, "files": {name: asdict(listed[name]) for name in sorted(listed)}}
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    if not (folder / NAME).is_file() or read_text(folder / NAME) != text:
        atomic.write_text(folder / NAME, text)


def check(path: Path) -> None:
    """Raise GateError where a manifest lists a file, or a file of a folder, and it is not as listed."""
    for folder in folders_above(path):
        listed = read(folder)
        if not listed:
            continue
        for file in _files([path]):
            _compare(file, listed.get(real_path(file).relative_to(real_path(folder)).as_posix()))


def check_all(folder: Path) -> list[str]:
    """Raise GateError for the first file that is not as listed; return the names of those that are gone."""
    gone = []
    for name, entry in read(folder).items():
        if (folder / name).is_file():
            _compare(folder / name, entry)
        else:
            gone.append(name)
    return gone


def _compare(path: Path, entry: Entry | None) -> None:
    if entry is None:
        return
    size = path.stat().st_size
    if size != entry.bytes or hashlib.sha256(read_bytes(path)).hexdigest() != entry.sha256:
        raise GateError(
            f"{path} is not the file that the manifest lists ({size:,} bytes, {entry.bytes:,} listed; SHA-256 "
            f"{entry.sha256[:12]}... listed): it was changed or damaged since; copy it anew, or make it again"
        )


def entry_of(folder: Path, path: Path) -> Entry | None:
    """What a folder's manifest says of a file below it; None where it does not list it."""
    return read(folder).get(real_path(path).relative_to(real_path(folder)).as_posix())


def covers(folder: Path, path: Path) -> bool:
    """Whether a folder's manifest lists a file, or files of a folder."""
    return any(entry_of(folder, file) for file in _files([path]))


def folders_above(path: Path) -> Iterator[Path]:
    """Where a manifest that lists `path` may stand: beside it, and of a run's exports in the run."""
    parent = real_path(path).parent
    yield parent
    if parent.name == EXPORTS:
        yield parent.parent


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(item for item in path.iterdir() if item.is_file() and not item.is_symlink())
        elif path.is_file():
            yield path
