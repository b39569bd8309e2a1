"""Fixtures: a network trained on scikit-learn's digits, its exported files, and the real data where it is at hand."""

import os
import shutil
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from lenet_edge.datasets import DATA_VARIABLE, ImageData, load_dataset
from lenet_edge.exporting import export_run
from lenet_edge.recipes import RECIPES
from lenet_edge.runs import Run
from lenet_edge.training import start_record, train
from lenet_edge.watching import Watcher
from lenet_edge.web.engines import ENGINES
from lenet_edge_exporters import FORMATS
from lenet_edge_exporters.c import toolchain
from lenet_edge_runtime import ModelSpec

# Formats that Python alone makes and runs; C and WebAssembly need compilers, and have tests of their own.
EVERYWHERE = [name for name, row in FORMATS.items() if row.backend not in ("c", "node")]
EPOCHS = 12  # about a hundred steps: enough for 97 % of the digits


@dataclass(frozen=True)
class CommandLine:
    """Runs `lenet-edge` in this process, as a user would see it."""

    folder: Path

    def __call__(self, *arguments: str | Path) -> Result:
        from lenet_edge.cli import app

        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    def fails(self, *arguments: str | Path, code: int = 1) -> str:
        """Run a command that has to fail; return its one line on stderr."""
        result = self(*arguments)
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        lines = result.stderr.strip().splitlines()
        assert len(lines) == 1, result.stderr
        assert "Traceback" not in result.output
        return lines[0]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line in an empty working folder, with no data but what a test gives it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return CommandLine(tmp_path)


@pytest.fixture(scope="session")
def digits() -> ImageData:
    return load_dataset("digits")


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory, digits: ImageData) -> Run:
    """A finished run of the default recipe on the digits, with all formats exported. Read-only for tests."""
    return make_run(tmp_path_factory.mktemp("runs") / "lenet5-digits-1", "lenet5", digits)


@pytest.fixture(scope="session")
def classic_run(tmp_path_factory: pytest.TempPathFactory, digits: ImageData) -> Run:
    """The same with the tanh and average-pooling net."""
    return make_run(tmp_path_factory.mktemp("runs") / "lenet5-classic-digits-1", "lenet5-classic", digits)


@pytest.fixture(scope="session")
def wasm_tools() -> None:
    """Skips where nothing compiles C to WebAssembly, or nothing runs it."""
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    if not (shutil.which("clang") and shutil.which("wasm-ld")) and not find_spec("ziglang"):
        pytest.skip("neither clang with lld nor ziglang is installed")


@pytest.fixture(scope="session")
def c_folder(digits_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits' network in C. Read-only for tests; skips where nothing compiles it."""
    try:
        toolchain.find_compiler()
    except toolchain.CompilerError as error:
        pytest.skip(str(error))
    (artifact,) = export_run(digits_run, ["c"], out=tmp_path_factory.mktemp("c"), max_drop_pp=100).artifacts
    return artifact.path


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """What runs the network in a web page."""
    return str(request.param)


@pytest.fixture(scope="session")
def shown(
    engine: str, digits_run: Run, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The digits' network in the format that the page's engine runs. Read-only for tests."""
    if ENGINES[engine].format != "wasm":
        return exported(digits_run, ENGINES[engine].format)
    request.getfixturevalue("wasm_tools")
    (artifact,) = export_run(digits_run, ["wasm"], out=tmp_path_factory.mktemp("wasm"), max_drop_pp=100).artifacts
    return artifact.path


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the official MNIST and Fashion-MNIST files."""
    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        pytest.skip(f"{DATA_VARIABLE} names no folder with the official MNIST and Fashion-MNIST files")
    return Path(folder)


def make_run(folder: Path, recipe: str, data: ImageData, epochs: int = EPOCHS) -> Run:
    folder.mkdir(parents=True)
    run = Run(folder)
    run.write(start_record(RECIPES[recipe], data, device="cpu", threads=1, epochs=epochs))
    train(run, data, Watcher())
    export_run(run, EVERYWHERE, max_drop_pp=100)  # what the gate does is tested apart
    return run


def exported(run: Run, format_name: str) -> Path:
    (path,) = (
        path
        for path in run.export_folder.iterdir()
        if path.name.removeprefix(f"{run.read().recipe.name}-digits") == FORMATS[format_name].suffix
    )
    return path


def small_digits(data: ImageData, images: int) -> ImageData:
    """The first images of each part: for tests in which training is only a means."""
    order = np.argsort(np.arange(images) % 10, kind="stable")
    by_class = np.concatenate([np.flatnonzero(data.train_labels == label)[: images // 10] for label in range(10)])
    chosen = by_class[order]
    return replace(data, train_pixels=data.train_pixels[chosen], train_labels=data.train_labels[chosen])


GREY_SPEC = ModelSpec(tuple("0123456789"), 28, 28, (0.1307,), (0.3081,), padding=2, polarity="light-on-dark")
