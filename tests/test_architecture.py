"""The house: three storeys, each importing only from below, and a base install that needs no torch."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
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
PUBLIC = {
    "lenet_edge": ["__version__"],
    "lenet_edge_exporters": ["FORMATS", "Artifact", "ExportJob", "Format", "LoadedModel", "export", "open_file"],
    "lenet_edge_runtime": [
        "Classifier", "ImageError", "LenetEdgeError", "ModelFileError", "ModelSpec", "Prediction", "ProviderError",
        "softmax",
    ],
}  # fmt: skip


def imported_packages(file: Path) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide the storey"
            modules.add(node.module or "")
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize("storey", STOREYS)
def test_imports_run_downward(storey: str) -> None:
    files = sorted(STOREYS[storey].rglob("*.py"))
    assert files
    upward = {file.name: imported_packages(file) & FORBIDDEN[storey] for file in files}
    assert {name: found for name, found in upward.items() if found} == {}


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
