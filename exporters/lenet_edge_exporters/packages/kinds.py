"""The table of packages: one row a kind, each holding its files. The command line and the tests derive from it.

To add one: its templates in `templates/`, and a row here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lenet_edge_runtime.near_names import did_you_mean


@dataclass(frozen=True)
class PackageKind:
    """What a tool takes: which exported files it holds, and which files are made around them.

    Both tables have the paths in the package on the left, in which {} is the network's name in C. On the right stand
    names of the exported folder, with {} too, and of templates.
    """

    name: str  # what --package takes, and the ending of the package's folder
    format: str  # of the exported folder that it is made from
    summary: str  # what the tool takes
    copied: Mapping[str, str]
    templates: Mapping[str, str]

    @property
    def suffix(self) -> str:
        """With which the name of the package's folder ends."""
        return f"-{self.name}"

    def files(self, name: str) -> tuple[str, ...]:
        """The paths of all files in the package of a network of this name."""
        return tuple(path.format(name) for path in (*self.copied, *self.templates))


PACKAGES = {
    row.name: row
    for row in (
        PackageKind(
            "cmake", "c", "a project to install, for find_package",
            copied={"{}.h": "{}.h", "{}.c": "{}.c", "{}_selftest.c": "{}_selftest.c"},
            templates={
                "CMakeLists.txt": "cmake/CMakeLists.txt",
                "{}Config.cmake": "cmake/Config.cmake",
                "README.md": "cmake/README.md",
                "example/CMakeLists.txt": "cmake/example.txt",
                "example/classify.c": "cmake/classify.c",
                "example/image.h": "image.h",
            },
        ),
        PackageKind(
            "arduino", "c", "a library for Add .ZIP Library",
            copied={"src/{}.h": "{}.h", "src/{}.c": "{}.c"},
            templates={
                "library.properties": "arduino/library.properties",
                "README.md": "arduino/README.md",
                "examples/Classify/Classify.ino": "arduino/classify.ino",
                "examples/Classify/image.h": "image.h",
            },
        ),
        PackageKind(
            "platformio", "c", "a library with library.json",
            copied={"src/{}.h": "{}.h", "src/{}.c": "{}.c"},
            templates={
                "library.json": "platformio/library.json",
                "README.md": "platformio/README.md",
                "examples/classify/platformio.ini": "platformio/platformio.ini",
                "examples/classify/src/main.cpp": "arduino/classify.ino",
                "examples/classify/src/image.h": "image.h",
            },
        ),
        PackageKind(
            "esp-idf", "c", "a component",
            copied={"{}.h": "{}.h", "{}.c": "{}.c"},
            templates={
                "CMakeLists.txt": "esp-idf/CMakeLists.txt",
                "idf_component.yml": "esp-idf/idf_component.yml",
                "README.md": "esp-idf/README.md",
                "examples/classify/CMakeLists.txt": "esp-idf/example.txt",
                "examples/classify/main/CMakeLists.txt": "esp-idf/main.txt",
                "examples/classify/main/main.c": "esp-idf/main.c",
                "examples/classify/main/image.h": "image.h",
            },
        ),
        PackageKind(
            "zephyr", "c", "a module",
            copied={"src/{}.h": "{}.h", "src/{}.c": "{}.c"},
            templates={
                "zephyr/module.yml": "zephyr/module.yml",
                "zephyr/CMakeLists.txt": "zephyr/CMakeLists.txt",
                "zephyr/Kconfig": "zephyr/Kconfig",
                "README.md": "zephyr/README.md",
                "samples/classify/CMakeLists.txt": "zephyr/sample.txt",
                "samples/classify/prj.conf": "zephyr/prj.conf",
                "samples/classify/src/main.c": "zephyr/main.c",
                "samples/classify/src/image.h": "image.h",
            },
        ),
        PackageKind(
            "npm", "wasm", "for browsers, bundlers and Node, with types",
            copied={name: name for name in ("lenet.wasm", "lenet.mjs", "lenet.json")},
            templates={
                "package.json": "npm/package.json",
                "node.mjs": "npm/node.mjs",
                "node.cjs": "npm/node.cjs",
                "index.d.mts": "npm/index.d.ts",
                "index.d.cts": "npm/index.d.ts",
                "README.md": "npm/README.md",
                "example.mjs": "npm/example.mjs",
            },
        ),
    )
}  # fmt: skip


def chosen(names: Iterable[str], formats: Sequence[str]) -> list[PackageKind]:
    """The rows of these names, each once; ValueError for one that there is not, or whose format is not exported."""
    kinds = []
    for name in dict.fromkeys(names):
        if name not in PACKAGES:
            near = did_you_mean(name, PACKAGES)
            raise ValueError(f"no package is called {name!r}; {near}choose {', '.join(PACKAGES)}")
        kind = PACKAGES[name]
        if kind.format not in formats:
            raise ValueError(
                f"{name} is made from the format {kind.format}, and none is exported: add --format {kind.format}"
            )
        kinds.append(kind)
    return kinds


def kind_of(path: Path) -> PackageKind | None:
    """The kind of package that a folder is by its name; None for any other path."""
    return next((row for row in PACKAGES.values() if path.name.endswith(row.suffix) and path.is_dir()), None)
