"""How a network's name is written into a folder of C, and read from one.

Templates have the fields @NAME@ and @MACRO@. Kernels and what calls them are C as it stands, in the namespace of the
default name; it becomes the network's own before anything of a user's (labels, say) joins them.
"""

from __future__ import annotations

import re
from pathlib import Path

from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.reading import read_bytes
from lenet_edge_runtime.shared_library import DEFAULT_NAME

_FILES = ("{}.h", "{}.c", "{}_selftest.c", "{}_metadata.c", "Makefile", "CMakeLists.txt", "README.md")
_NAMESPACE = re.compile(r"(?:\b|(?<=-D))(lenet|LENET)(?=_|\.[ch]\b)")  # also in -DLENET_PLAIN_C
_DECLARED = re.compile(rb"^const char \*([a-z0-9_]+)_metadata\(void\);$", re.MULTILINE)


def files(name: str) -> dict[str, str]:
    """The names of a folder's files, each with its template's."""
    return {file.format(name): file.format(DEFAULT_NAME) for file in _FILES}


def in_namespace(text: str, name: str) -> str:
    """C in the namespace of `lenet`, in that of `name`: lenet_predict becomes digits_predict."""
    return _NAMESPACE.sub(lambda found: name.upper() if found[1].isupper() else name, text)


def names_in(path: Path) -> list[str]:
    """The names of the networks whose C lies in a folder, in order, as the functions of their metadata say."""
    return [file.name.removesuffix("_metadata.c") for file in sorted(path.glob("*_metadata.c")) if _is_ours(file)]


def files_in(path: Path) -> tuple[str, ...]:
    """The names of the files that the export writes into this folder; the default ones where it wrote none."""
    return tuple(dict.fromkeys(file for name in names_in(path) or [DEFAULT_NAME] for file in files(name)))


def name_in(path: Path) -> str:
    """The name of the network in a folder, the default one where there is none; ModelFileError where there are two."""
    found = names_in(path) or [DEFAULT_NAME]
    if len(found) > 1:
        raise ModelFileError(f"{path} holds more than one network ({', '.join(found)}): export each to its own folder")
    return found[0]


def _is_ours(file: Path) -> bool:
    try:
        found = _DECLARED.search(read_bytes(file))
    except OSError:
        return False
    return found is not None and file.name == f"{found[1].decode()}_metadata.c"
