"""What commands show: tables for people and one JSON document for machines on stdout, all else on stderr."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import typer

from lenet_edge_runtime.printable import printable, to_json

WIDTH = 160  # of tables that go into a file or a pipe


def print_json(document: Any) -> None:
    """Print the command's one JSON document; dataclasses become objects, paths text."""
    typer.echo(to_json(document, default=_plain, indent=2))


def say(message: str) -> None:
    """Print one line to stderr, whatever the names in it hold."""
    typer.echo(printable(message), err=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is text, the others are figures. Too wide for the terminal: one block a row.

    Names in it may hold anything: what would steer a terminal is shown as its escape.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    title, columns = printable(title), [printable(column) for column in columns]
    rows = [[printable(cell) for cell in row] for row in rows]
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH
    natural = console.measure(table, options=console.options.update(max_width=10_000)).maximum
    if natural <= console.width:
        console.print(table)
    else:
        typer.echo("\n".join([title, *(_block(columns, row) for row in rows)]))


def _block(columns: Sequence[str], row: Sequence[str]) -> str:
    width = max(map(len, columns[1:]))
    return "\n".join([row[0], *(f"  {name:<{width}}  {cell}" for name, cell in zip(columns[1:], row[1:], strict=True))])


def percent(fraction: float, digits: int = 2) -> str:
    """0.9951 as `99.51 %`."""
    return f"{100 * fraction:.{digits}f} %"


def kilobytes(size: int) -> str:
    """Bytes in kB (1000 bytes)."""
    return f"{size / 1000:.1f} kB"


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")
