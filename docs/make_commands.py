"""Writes docs/commands.md from the texts that `--help` prints: python docs/make_commands.py

The page depends neither on the terminal nor on the machine nor on the version of Typer: it is built from names, helps
and written defaults, and not from printed text. `tests/house/test_docs.py` holds it against the program.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from lenet_edge.cli import app

PAGE = Path(__file__).with_name("commands.md")
HEAD = """# Commands

Every command with its arguments and options, as `lenet-edge COMMAND --help` prints them. This page is written by
`python docs/make_commands.py`; edit the texts in `lenet_edge/commands/` instead.

Exit codes: 0 done, 1 bad input, 2 wrong usage, 3 a check failed (an accuracy gate, `verify`, `bench --self-test`), 130
and 143 stopped by Ctrl-C and SIGTERM. Results go to stdout, progress and remarks to stderr.
"""


def page() -> str:
    """The whole page, as Markdown."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return "\n".join([HEAD, *(line for name, command in commands.items() for line in section(name, command))])


def section(name: str, command: Any) -> Iterator[str]:
    """One command: what it does, its example, its arguments and its options."""
    yield f"## {name}"
    yield ""
    for paragraph in command.help.strip().split("\n\n"):
        text = " ".join(paragraph.split())
        example = text.removeprefix("Example: ")
        yield escaped(text) if example == text else f"    {example}"
        yield ""
    yield "| argument or option | what |"
    yield "| --- | --- |"
    for parameter in command.params:
        if parameter.name != "help" and not parameter.hidden:
            yield f"| {names(parameter)} | {what(parameter)} |"
    yield ""


def names(parameter: Any) -> str:
    """What is typed: `RECIPE`, `--seed`, `--memory`, `--no-memory`."""
    if parameter.param_type_name == "argument":
        return escaped(f"`{(parameter.metavar or parameter.name).upper()}`")
    return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def what(parameter: Any) -> str:
    """The help, and the default and the limits that it does not name itself."""
    text = re.sub(r" *\[default: (.*)\]", r" Default: \1.", escaped(" ".join(parameter.help.split())))
    return " ".join([text, *remarks(parameter)])


def remarks(parameter: Any) -> Iterator[str]:
    """A default that is written in the program, and the range of a number."""
    number = parameter if hasattr(parameter, "min") else parameter.type  # the latter with Typer before 0.27
    low, high = (getattr(number, end, None) for end in ("min", "max"))
    if isinstance(parameter.show_default, str):
        yield f"Default: {parameter.show_default}."
    elif parameter.show_default and parameter.default not in (None, "", False, ()) and not callable(parameter.default):
        yield f"Default: {shown(parameter)}."
    if low is not None and high is not None:
        yield f"From {low:g} to {high:g}." if high < 1e6 else f"At least {low:g}."
    elif low is not None:
        yield f"At least {low:g}."


def shown(parameter: Any) -> str:
    """A default as it is typed."""
    if parameter.default is True:
        return f"`{parameter.opts[0]}`"
    return f"`{getattr(parameter.default, 'value', parameter.default)}`"


def escaped(text: str) -> str:
    """Text for a cell of a table."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
