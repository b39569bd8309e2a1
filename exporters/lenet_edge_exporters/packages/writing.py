"""From an exported folder to its packages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from lenet_edge_exporters import atomic
from lenet_edge_exporters.c import stated, wasm
from lenet_edge_exporters.c.folder import fill
from lenet_edge_exporters.packages.fields import fields_of, name_in
from lenet_edge_exporters.packages.kinds import HEADER, PackageKind
from lenet_edge_runtime.reading import read_bytes
from lenet_edge_runtime.shared_library import DEFAULT_NAME

_READERS: dict[str, Callable[[Path], dict[str, str]]] = {"c": stated.read_c, "wasm": wasm.read_metadata}
_OURS = b"Written by lenet-edge"  # in every header of the C export


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
    atomic.write_folder(path, files, list(_earlier(kind, path)))
    return Package(kind.name, path, tuple(files), sum(map(len, files.values())))


def template(name: str) -> str:
    """The text of a template."""
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _earlier(kind: PackageKind, path: Path) -> Iterator[str]:
    """The files that an earlier export left in the package: its network may have had another name."""
    header = next((place for place, source in kind.copied.items() if source == HEADER), None)
    if header is None:
        yield from kind.files(DEFAULT_NAME)
        return
    for found in path.glob(header.format("*")):
        if _OURS in read_bytes(found):
            yield from kind.files(found.stem)
