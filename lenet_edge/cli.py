"""The command line: one app, its commands, and the one door through which errors leave."""

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lenet_edge.commands import (
    bench,
    compare,
    evaluate,
    export,
    info,
    keygen,
    predict,
    quickstart,
    recipes,
    report,
    samples,
    serve,
    sign,
    train,
    verify,
)
from lenet_edge_exporters.leftovers import scratch
from lenet_edge_runtime.errors import LenetEdgeError
from lenet_edge_runtime.extras import EXTRAS
from lenet_edge_runtime.near_names import did_you_mean
from lenet_edge_runtime.printable import printable

UsageError: Any = typer.BadParameter.__bases__[0]  # which Typer does not give by a name of its own


class ErrorDoor(TyperGroup):
    """Turns our errors, and those of the file system, into one line on stderr and an exit code."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the command line; what it quotes of it is printable."""
        with _printable_usage_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; here, and not around the app, so that tests see what a user sees."""
        try:
            with _printable_usage_errors(), scratch():
                return super().invoke(ctx)
        except LenetEdgeError as error:
            _fail(str(error), error.exit_code)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in EXTRAS["train"]:
                raise
            _fail(
                f"this command needs {package}, which is not installed; type: pip install 'lenet-edge[train]'",
                1,
            )
        except OSError as error:
            if error.strerror is None or isinstance(error, BrokenPipeError):  # `... | head` is no error of ours
                raise
            place = f"{error.filename}: " if error.filename else ""
            _fail(f"{place}{error.strerror}; choose a folder that can be written to and has room (--out)", 1)
        except KeyboardInterrupt:
            _fail("interrupted", 130)


@contextlib.contextmanager
def _printable_usage_errors() -> Iterator[None]:
    """Typer prints usage errors itself, with the words of the command line as they are."""
    try:
        yield
    except UsageError as error:
        error.message = printable(" ".join(error.message.split()) + _near_choice(error.message))
        raise


def _near_choice(message: str) -> str:
    """What was meant, where Typer says that a value is not one of an option's."""
    found = re.search(r"'(.*)' is not one of ('.*')\.", message)
    return " " + did_you_mean(found[1], re.findall("'(.*?)'", found[2])).rstrip() if found else ""


def _fail(message: str, exit_code: int) -> None:
    print("lenet-edge: error: " + printable(" ".join(message.split())), file=sys.stderr)  # noqa: T201
    raise typer.Exit(exit_code)


app = typer.Typer(
    name="lenet-edge",
    cls=ErrorDoor,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (
    quickstart,
    samples,
    recipes,
    train,
    compare,
    evaluate,
    export,
    verify,
    bench,
    report,
    predict,
    serve,
    info,
    keygen,
    sign,
):  # in the order of `--help`
    app.command(command.NAME)(command.run)


def _print_version(wanted: bool) -> None:
    if wanted:
        from lenet_edge import __version__

        typer.echo(f"lenet-edge {__version__}")
        raise typer.Exit


@app.callback()
def describe(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Train LeNet-5, export it to TorchScript, ONNX and int8 ONNX, and prove that the files still answer alike."""


def main() -> None:
    """Entry point of the `lenet-edge` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
            stream.reconfigure(encoding="utf-8")  # in files and pipes on Windows, too, where it would be cp1252
    app()
