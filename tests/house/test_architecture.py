"""The house: three storeys and the rooms of the upper one, each importing only from below, and a lean base install."""

import ast
import graphlib
import importlib
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from shape import file_lengths, function_lengths, imported_modules, modules, room_of

ROOT = Path(__file__).parents[2]
STOREYS = {
    "lenet_edge": ROOT / "lenet_edge",
    "lenet_edge_exporters": ROOT / "exporters" / "lenet_edge_exporters",
    "lenet_edge_runtime": ROOT / "runtime" / "lenet_edge_runtime",
}
FORBIDDEN = {
    "lenet_edge": set(),
    "lenet_edge_exporters": {"lenet_edge"},
    "lenet_edge_runtime": {"lenet_edge", "lenet_edge_exporters", "torch", "torchvision", "onnx"},
}
# The rooms of lenet_edge, from the ground up: a module imports from its own room and from those before it.
ROOMS = (
    "console", "cluster", "networks", "data", "runs", "training", "evaluation", "tracking", "artefacts", "bench",
    "studies", "predicting", "report", "web", "api", "options", "commands", "cli", "__main__",
)  # fmt: skip
PUBLIC = {
    "lenet_edge": ["__version__", "benchmark", "evaluate", "examine", "export", "open_run", "train", "verify"],
    "lenet_edge_exporters": ["FORMATS", "Artifact", "ExportJob", "Format", "LoadedModel", "export", "open_file"],
    "lenet_edge_runtime": [
        "Classifier", "ImageError", "LenetEdgeError", "ModelFileError", "ModelSpec", "Prediction", "ProviderError",
        "softmax",
    ],
}  # fmt: skip


MAX_FILE, MAX_FUNCTION = 300, 60  # lines; a function's without its signature


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imported_packages(file: Path) -> set[str]:
    return {module.partition(".")[0] for module in imported_modules(parsed(file))}


def files_of(room: str) -> list[Path]:
    files = sorted(STOREYS["lenet_edge"].rglob("*.py"))
    return [file for file in files if room_of(file.relative_to(ROOT)) == room]


@pytest.mark.parametrize("storey", STOREYS)
def test_imports_run_downward(storey: str) -> None:
    files = sorted(STOREYS[storey].rglob("*.py"))
    assert files
    upward = {file.name: imported_packages(file) & FORBIDDEN[storey] for file in files}
    assert {name: found for name, found in upward.items() if found} == {}


def test_every_room_is_on_the_list_and_says_what_lives_there() -> None:
    found = {room_of(file) for file in modules(ROOT, "lenet_edge")} - {"__init__"}
    assert found == set(ROOMS)
    heads = [file for file in STOREYS["lenet_edge"].rglob("__init__.py") if not ast.get_docstring(parsed(file))]
    assert heads == []


def test_contributing_maps_the_rooms() -> None:
    house = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## The house")[2].partition("\n## ")[0]
    mapped = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", house, re.MULTILINE)
    assert mapped == [room for room in ROOMS if room != "__main__"]


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_downward(room: str) -> None:
    upward = {
        f"{file.name} imports {module}"
        for file in files_of(room)
        for module in imported_modules(parsed(file))
        if module.startswith("lenet_edge.") and (other := module.split(".")[1]) in ROOMS
        if ROOMS.index(other) > ROOMS.index(room)
    }
    assert upward == set()


def test_no_file_and_no_function_is_longer_than_one_subject_needs() -> None:
    assert [where for lines, where in file_lengths(ROOT) if lines > MAX_FILE] == []
    assert [where for lines, where in function_lengths(ROOT) if lines > MAX_FUNCTION] == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for storey, folder in STOREYS.items():
        for file in sorted(folder.rglob("*.py")):
            name = ".".join((storey, *file.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__")
            graph[name] = imported_modules(parsed(file))
    known = {name: {_module(target, graph) for target in targets} - {name, None} for name, targets in graph.items()}
    graphlib.TopologicalSorter(known).prepare()  # raises CycleError with the circle


def _module(imported: str, graph: Mapping[str, object]) -> str | None:
    parent = imported.rpartition(".")[0]
    return imported if imported in graph else parent if parent in graph else None


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names_are_those_promised(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(PUBLIC[package])
    assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize("statement", ["import lenet_edge_runtime", "import lenet_edge.cli"])
def test_base_install_suffices_for(statement: str) -> None:
    code = f"import sys; {statement}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    train_extra = {"torch", "torchvision", "onnx", "onnxscript", "safetensors", "sklearn", "matplotlib", "filelock"}
    assert set(loaded) & train_extra == set()
    assert "onnxruntime" not in loaded  # 0.4 s that --help need not wait for
