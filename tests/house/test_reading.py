"""Files that were named are read in one way alone, which refuses pipes and devices and knows a bound."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("lenet_edge", "exporters/lenet_edge_exporters", "runtime/lenet_edge_runtime")
FILES = sorted(file.relative_to(ROOT).as_posix() for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
# Calls by which a file's content comes in; `torch.load` and the like are given bytes.
READS = {"read_bytes", "read_text", "open", "load_file", "CDLL"}
OURS = "lenet_edge_runtime.reading"
# Modules that read what no user named: files of this package, of the system, and what they wrote a moment ago.
EXEMPT = {
    "exporters/lenet_edge_exporters/atomic.py": "flushes what it wrote",
    "exporters/lenet_edge_exporters/c/__init__.py": "what the compiler wrote",
    "exporters/lenet_edge_exporters/c/emitter.py": "kernels of this package",
    "exporters/lenet_edge_exporters/c/emulation.py": "what the compiler wrote",
    "exporters/lenet_edge_exporters/c/folder.py": "templates of this package",
    "exporters/lenet_edge_exporters/c/node.py": "pixels that it wrote a moment ago",
    "exporters/lenet_edge_exporters/c/wasm.py": "what the compiler wrote",
    "exporters/lenet_edge_exporters/leftovers.py": "opens to lock, and reads nothing",
    "exporters/lenet_edge_exporters/ort.py": "what onnxruntime wrote",
    "exporters/lenet_edge_exporters/packages/writing.py": "templates of this package",
    "lenet_edge/artefacts/signing.py": "opens the private key that it writes",
    "lenet_edge/networks/measured.py": "a table of this package",
    "lenet_edge/predicting/writing.py": "opens what it writes",
    "lenet_edge/report/page.py": "the style sheet of this package",
    "lenet_edge/web/onnxruntime_web.py": "what npm wrote",
    "lenet_edge/web/static_files.py": "files of this package",
    "runtime/lenet_edge_runtime/host.py": "what the system says of itself",
    "runtime/lenet_edge_runtime/images.py": "Pillow is given an opened file",
    "runtime/lenet_edge_runtime/reading.py": "the one way",
    "runtime/lenet_edge_runtime/shared_library.py": "opened by the system, after `read_model` read it",
}


def reads(file: str) -> set[str]:
    """Names of the calls by which a module reads files, but for those of our own reader."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    ours = {
        name.asname or name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == OURS
        for name in node.names
    }
    found = set()
    for call in (node.func for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if isinstance(call, ast.Attribute) and call.attr in READS:
            found.add(call.attr)
        elif isinstance(call, ast.Name) and call.id in READS and call.id not in ours:
            found.add(call.id)
    return found


@pytest.mark.parametrize("file", FILES)
def test_files_are_read_in_one_way(file: str) -> None:
    assert not reads(file) or file in EXEMPT, f"{file} reads by {reads(file)}: take lenet_edge_runtime.reading"


def test_exemptions_are_needed() -> None:
    assert [file for file in EXEMPT if not reads(file)] == []
