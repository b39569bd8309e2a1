"""The documents against the program: every command, format, recipe and data set stands in the README."""

import re
import tomllib
from pathlib import Path

import pytest

from lenet_edge import __version__
from lenet_edge.cli import app
from lenet_edge.data.datasets import DATASETS
from lenet_edge.networks.recipes import RECIPES
from lenet_edge_exporters import FORMATS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [str(command.name) for command in app.registered_commands]


@pytest.mark.parametrize("command", COMMANDS)
def test_command_stands_in_the_readme(command: str) -> None:
    assert f"lenet-edge {command}" in README


@pytest.mark.parametrize("name", [*FORMATS, *RECIPES, *DATASETS])
def test_row_of_a_table_stands_in_the_readme(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize("option", sorted(set(re.findall(r"(?<![\w-])--[a-z0-9][a-z0-9-]+", README))))
def test_option_in_the_readme_exists(option: str) -> None:
    import typer

    known = {"--help", "--version", "--nproc-per-node"} | {  # the last is torchrun's
        name
        for command in typer.main.get_command(app).commands.values()  # type: ignore[attr-defined]
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    assert option in known


def test_first_screen_has_the_two_commands_and_a_table() -> None:
    first_screen = "\n".join(README.splitlines()[:45])
    assert 'pip install -e ".[train,dev]" && lenet-edge quickstart' in first_screen
    assert re.search(r"^ *pytest\b", first_screen, re.MULTILINE)
    assert "| " in first_screen


def test_ci_runs_what_the_readme_says() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert '".[train,dev]"' in script
    assert "lenet-edge quickstart" in script
    assert re.search(r"^pytest\b", script, re.MULTILINE)


def test_changelog_has_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
