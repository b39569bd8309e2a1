"""The shape of a checkout in figures: `python tests/support/shape.py [ROOT]`, of this one by default.

Rooms are what lies at the top of lenet_edge/, modules and folders; an arrow is a room that imports another.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCES = ("lenet_edge", "exporters", "runtime", "benchmarks", "examples")


def modules(root: Path, *folders: str) -> dict[Path, ast.Module]:
    """The Python files below these folders of a checkout, parsed."""
    files = (file for folder in folders for file in sorted((root / folder).rglob("*.py")))
    return {file.relative_to(root): ast.parse(file.read_text(encoding="utf-8")) for file in files}


def imported_modules(tree: ast.Module) -> set[str]:
    """Dotted names; a name imported from a package counts as a module of it, for it may be one."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the storey"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room_of(file: Path) -> str:
    """The room of a module of lenet_edge/, named from the root."""
    return file.with_suffix("").parts[1]


def arrows(root: Path) -> set[tuple[str, str]]:
    """Pairs of rooms of which the first imports the second."""
    trees = modules(root, "lenet_edge")
    rooms = {room_of(file) for file in trees}
    pairs = {
        (room_of(file), name.split(".")[1])
        for file, tree in trees.items()
        for name in imported_modules(tree)
        if name.startswith("lenet_edge.")
    }
    return {(room, other) for room, other in pairs if room != other and other in rooms}


def function_lengths(root: Path) -> Iterator[tuple[int, str]]:
    """Lines of each function's body, without its signature (a command's options stand there), and where it is."""
    for file, tree in modules(root, *SOURCES).items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield (node.end_lineno or 0) - node.body[0].lineno + 1, f"{file.as_posix()} {node.name}"


def file_lengths(root: Path) -> Iterator[tuple[int, str]]:
    """Lines of each module and where it is."""
    for file in modules(root, *SOURCES):
        yield len((root / file).read_text(encoding="utf-8").splitlines()), file.as_posix()


def main(root: Path) -> None:
    """Print the figures."""
    rooms = {room_of(file) for file in modules(root, "lenet_edge")} - {"__init__"}
    print(f"rooms {len(rooms)}, arrows {len(arrows(root))}")  # noqa: T201
    print(f"README {len((root / 'README.md').read_text(encoding='utf-8').splitlines())} lines")  # noqa: T201
    for title, found in (("longest files", file_lengths(root)), ("longest functions", function_lengths(root))):
        print(f"{title}:")  # noqa: T201
        for lines, name in sorted(found, reverse=True)[:5]:
            print(f"  {lines:4} {name}")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2])
