"""Fixtures: a network trained on scikit-learn's digits, its exported files, and the real data where it is at hand."""

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

from command_line import CommandLine
from lenet_edge.data.datasets import DATA_VARIABLE, load_dataset
from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.run import Run
from lenet_edge.web.engines import ENGINES
from lenet_edge_exporters.c import toolchain
from trained_runs import exported, make_run

# A busy machine makes no test wrong: time is measured in benchmarks/.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def _own_data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What this session exports is remembered in a folder of its own, not in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data-home")))
        yield


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


def _made(recipe: str, runs: Path, digits: ImageData) -> Run:
    """Trained here; or a copy of what `trained_runs.py` made before, for tests in an environment without torch."""
    folder = runs / f"{recipe}-digits-1"
    if made := os.environ.get("LENET_EDGE_TEST_RUNS"):
        return Run(Path(shutil.copytree(Path(made) / folder.name, folder)))
    return make_run(folder, recipe, digits)


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory, digits: ImageData) -> Run:
    """A finished run of the default recipe on the digits, with all formats exported. Read-only for tests."""
    return _made("lenet5", tmp_path_factory.mktemp("runs"), digits)


@pytest.fixture(scope="session")
def classic_run(tmp_path_factory: pytest.TempPathFactory, digits: ImageData) -> Run:
    """The same with the tanh and average-pooling net."""
    return _made("lenet5-classic", tmp_path_factory.mktemp("runs"), digits)


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
    from lenet_edge.artefacts.exporting import export_run
    from lenet_edge.runs.opened import open_run

    try:
        toolchain.find_compiler()
    except toolchain.CompilerError as error:
        pytest.skip(str(error))
    (artifact,) = export_run(open_run(digits_run), ["c"], out=tmp_path_factory.mktemp("c"), max_drop_pp=100).artifacts
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
    from lenet_edge.artefacts.exporting import export_run
    from lenet_edge.runs.opened import open_run

    request.getfixturevalue("wasm_tools")
    (artifact,) = export_run(
        open_run(digits_run), ["wasm"], out=tmp_path_factory.mktemp("wasm"), max_drop_pp=100
    ).artifacts
    return artifact.path


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the official MNIST and Fashion-MNIST files."""
    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        pytest.skip(f"{DATA_VARIABLE} names no folder with the official MNIST and Fashion-MNIST files")
    return Path(folder)
