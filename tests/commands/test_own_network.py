"""`--net`: one's own network from the command line, and a received run that names a program."""

import json
import re
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest
import torch

from command_line import CommandLine
from lenet_edge.cli import app

DOCUMENT = Path(__file__).parents[2] / "docs" / "own-network.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)


@pytest.fixture
def program(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("lenet_edge.networks.own._given", {})
    monkeypatch.setattr("lenet_edge.networks.own._arguments", {})
    (cli.folder / "mynet.py").write_text(PROGRAMS[0], encoding="utf-8")
    return cli.folder / "mynet.py"


def test_own_network_is_trained_exported_and_verified(program: Path, cli: CommandLine) -> None:
    trained = cli("train", "--net", "mynet.py:Net", "--dataset", "digits", "--epochs", "1", "--json")
    assert trained.exit_code == 0, trained.output
    assert json.loads(trained.stdout)["recipe"] == "Net"
    exported = cli("export", "--net", "mynet.py:Net", "--format", "onnx", "--json")
    assert exported.exit_code == 0, exported.output
    assert cli("verify", "--net", "mynet.py:Net").exit_code == 0
    record = (cli.folder / "runs" / "Net-digits-1" / "run.json").read_text(encoding="utf-8")
    assert json.loads(record)["recipe"]["model"]["program"] == "mynet.py:Net"
    assert str(cli.folder) not in record


FEW = {"bench": ("--rounds", "2", "--calls", "2"), "report": ("--rounds", "2", "--calls", "2")}


def test_every_command_takes_the_run_with_its_program_and_none_imports_it_without(
    program: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    taking = [command.name for command in app.registered_commands if "net" in signature(command.callback).parameters]
    assert set(taking) == {"train", "export", "verify", "evaluate", "bench", "report"}
    named = ("--net", "mynet.py:Net")
    assert cli("export", *named, "--dataset", "digits", "--format", "onnx", "--max-drop", "100").exit_code == 0
    asking = [command for command in taking if command != "train"]
    for command in asking:
        result = cli(command, *named, *FEW.get(command, ()), *(("--max-drop", "100") if "ver" in command else ()))
        assert result.exit_code in (0, 3), result.output  # 3: nobody trained it
        assert "lenet-edge: error" not in result.output
    assert cli("evaluate", "runs/Net-digits-imported-1/export/Net-digits.onnx").exit_code == 0
    monkeypatch.setattr("lenet_edge.networks.own._given", {})
    program.write_text("raise SystemExit('it was run')", encoding="utf-8")
    for command in asking:
        message = cli.fails(command)
        assert "is not run unasked: name it by --net mynet.py:Net if you trust it" in message


def test_weights_of_another_network_are_refused(program: Path, cli: CommandLine) -> None:
    torch.save({"first.weight": torch.zeros(8, 1, 3, 3), "other": torch.zeros(3)}, cli.folder / "theirs.pth")
    result = cli("export", "--net", "mynet.py:Net", "--weights", "theirs.pth", "--dataset", "digits")
    assert result.exit_code == 1
    assert "theirs.pth is no state_dict of this network: 'other' has no place in it" in result.stderr


WRONG = {
    "mynet.py": "--net is module:callable or file.py:callable, got 'mynet.py'",
    "missing.py:Net": "there is no such file",
    "mynet.py:Other": "AttributeError",
    "mynet.py:F": "takes no images|gives a|not callable",
}


@pytest.mark.parametrize("argument", WRONG)
def test_wrong_program_is_one_line(argument: str, program: Path, cli: CommandLine) -> None:
    result = cli("export", "--net", argument, "--dataset", "digits")
    assert result.exit_code == 1
    assert re.search(WRONG[argument], result.stderr)
    assert len(result.stderr.strip().splitlines()) == 1


def test_number_of_classes_is_checked(program: Path, cli: CommandLine) -> None:
    program.write_text(PROGRAMS[0].replace("14, 10)", "14, 7)"), encoding="utf-8")
    result = cli("export", "--net", "mynet.py:Net", "--dataset", "digits")
    assert result.exit_code == 1
    assert "gives [2, 7] for 2 images, where [2, 10] is expected" in result.stderr


def test_program_of_the_document_runs(program: Path, cli: CommandLine) -> None:
    (cli.folder / "program.py").write_text(PROGRAMS[1], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=cli.folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "(2, 10)"
