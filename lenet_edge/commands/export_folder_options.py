"""What `lenet-edge export` is asked of the formats that are folders: a name in C, and packages."""

from collections.abc import Sequence
from typing import Annotated

import typer

from lenet_edge.options import split_names
from lenet_edge_exporters.c_name import chosen
from lenet_edge_exporters.packages import PACKAGES
from lenet_edge_exporters.packages import chosen as chosen_packages
from lenet_edge_runtime.shared_library import DEFAULT_NAME

_PACKAGE_HELP = "; ".join(f"{row.name} (of {row.format}): {row.summary}" for row in PACKAGES.values())

NameOption = Annotated[
    str | None,
    typer.Option(
        "--name",
        help="Of a C folder: with which its files, functions and macros begin, so that two networks go into one "
        f"program.  [default: {DEFAULT_NAME}]",
        show_default=False,
    ),
]

PackageOption = Annotated[
    list[str] | None,
    typer.Option(
        "--package",
        help=f"Also in the shape that a tool takes; several between commas. {_PACKAGE_HELP}.",
        callback=split_names,
    ),
]


def check_folders(name: str | None, packages: Sequence[str] | None, formats: Sequence[str]) -> None:
    """A name in C or a package that cannot be, or that no exported format has a use for, is a usage error."""
    for option, check in (
        ("--name", lambda: chosen(name, formats)),
        ("--package", lambda: chosen_packages(packages or [], formats)),
    ):
        try:
            check()
        except ValueError as error:
            raise typer.BadParameter(f"{option}: {error}") from None
