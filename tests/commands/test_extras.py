"""A missing package or tool is said in one line, with what to type, before anything is written or trained."""

import sys
import tomllib
from pathlib import Path

import pytest

from command_line import CommandLine
from lenet_edge_exporters.formats import FORMATS
from lenet_edge_runtime.extras import EXTRAS, RARELY

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
NOWHERE = "nowhere"  # a run that is not there: what is missing is said before it is looked for
COMMANDS = {
    "train": [("train", "--dataset", "digits"), ("compare", "lenet5"), ("quickstart",), ("export", NOWHERE)],
    "sign": [("keygen", "key.pem"), ("sign", ".", "--key", "key.pem")],
    "sbom": [("export", NOWHERE, "--sbom")],
    "hf": [("train", "--dataset", "photos.parquet")],
    "litert": [("export", NOWHERE, "--format", "onnx", "--format", "tflite")],
    "tensorboard": [("train", "--dataset", "digits", "--tensorboard"), ("compare", "lenet5", "--tensorboard")],
    "mlflow": [
        ("train", "--dataset", "digits", "--mlflow", "x"),
        ("compare", "lenet5", "--mlflow", "x"),
        ("export", NOWHERE, "--mlflow", "x"),
    ],
    "cluster": [
        ("compare", "lenet5", "--dataset", "digits", "--scheduler", "tcp://127.0.0.1:1"),
        ("predict", "pretrained:mnist", "photos.png", "--scheduler", "tcp://127.0.0.1:1"),
    ],
}
NO_COMMANDS = ("dev", "docs", "engines")
CASES = [
    (extra, package, command)
    for extra, packages in EXTRAS.items()
    for package in packages
    for command in (COMMANDS[extra] if package == packages[0] else COMMANDS[extra][:1])
    if package not in RARELY
]


def test_table_is_the_projects() -> None:
    declared = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {name: len(packages) for name, packages in EXTRAS.items()} == {
        name: len(packages) for name, packages in declared.items() if name not in NO_COMMANDS
    }


@pytest.mark.parametrize(("extra", "package", "command"), CASES)
def test_missing_extra_is_said_first(
    extra: str, package: str, command: tuple[str, ...], cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cli.folder / "photos.parquet").touch()
    blocked = "cryptography.hazmat.primitives.asymmetric" if package == "cryptography" else package
    monkeypatch.setitem(sys.modules, blocked, None)
    message = cli.fails(*command)
    assert f"pip install 'lenet-edge[{extra}]'" in message
    assert [path.name for path in cli.folder.iterdir()] == ["photos.parquet"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("c", "found no C compiler"), ("wasm", "found nothing that compiles C to WebAssembly")],
)
def test_missing_tool_is_said_first(name: str, message: str, cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setitem(sys.modules, "ziglang", None)
    assert message in cli.fails("export", NOWHERE, "--format", "onnx", "--format", name)
    assert not list(cli.folder.iterdir())


def test_formats_that_the_train_extra_alone_makes_need_nothing_more() -> None:
    assert {name for name, row in FORMATS.items() if row.needs} == {"tflite", "tflite-float", "c", "wasm"}
