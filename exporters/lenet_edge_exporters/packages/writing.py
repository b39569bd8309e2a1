"""From an exported folder to its packages."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from lenet_edge_exporters import atomic
from lenet_edge_exporters.c import stated, wasm
from lenet_edge_exporters.c.folder import fill
from lenet_edge_exporters.packages.fields import fields_of, name_in
from lenet_edge_exporters.packages.kinds import PackageKind
from lenet_edge_runtime.reading import read_bytes

_READERS: dict[str, Callable[[Path], dict[str, str]]] = {"c": stated.read_c, "wasm": wasm.read_metadata}
_HEADING = re.compile(rb"# ([a-z0-9_]+), ")  # of a README: the network's name in C, and what the package is


@dataclass(frozen=True)
class Package:
    """A package that was written: its kind, its folder, the paths of its files in it, and their bytes together."""

    name: str
    path: Path
    files: tuple[str, ...]
    bytes: int

    @property
    def written(self) -> list[Path]:
        """Its files."""
        return [self.path / name for name in self.files]


def render(kind: PackageKind, exported: Path) -> dict[str, bytes]:
    """The package's files by their paths, the same bytes for the same folder.

    Raises ModelFileError for a folder that is none of the kind's format.
    """
    said = _READERS[kind.format](exported)
    name = name_in(said)
    fields = fields_of(said, exported.name.removesuffix(f"-{kind.format}"))
    copied = {path.format(name): read_bytes(exported / source.format(name)) for path, source in kind.copied.items()}
    made = {path.format(name): fill(template(source), fields).encode() for path, source in kind.templates.items()}
    return {**copied, **made}


def write(kind: PackageKind, exported: Path) -> Package:
    """Write the package of an exported folder beside it; what else lies in the package's folder stays."""
    files = render(kind, exported)
    path = exported.with_name(exported.name.removesuffix(f"-{kind.format}") + kind.suffix)
    atomic.write_folder(path, files, _earlier(kind, path))
    return Package(kind.name, path, tuple(files), sum(map(len, files.values())))


def template(name: str) -> str:
    """The text of a template."""
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _earlier(kind: PackageKind, path: Path) -> tuple[str, ...]:
    """The files that an earlier export left in the package, whose network may have had another name.

    Its README says which: other networks that a user keeps there are not ours to remove.
    """
    try:
        found = _HEADING.match(read_bytes(path / "README.md"))
    except OSError:
        return ()
    return kind.files(found[1].decode()) if found else ()
