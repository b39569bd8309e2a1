"""`lenet-edge serve`: needs the base install alone."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from lenet_edge import console
from lenet_edge.options import JsonOption

NAME = "serve"


def run(
    folder: Annotated[Path, typer.Argument(help="A folder that 'lenet-edge export --web' wrote.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine (loopback); 0 takes a free one.")
    ] = 8000,
    as_json: JsonOption = False,
) -> None:
    """Serve a web page to this machine only, to look at it.

    Ctrl-C ends it.

    Example: lenet-edge serve page
    """
    from lenet_edge.web.server import address_of, serving

    with contextlib.suppress(KeyboardInterrupt), serving(folder, port) as server:
        if as_json:
            console.print_json({"folder": folder, "url": address_of(server)})
        else:
            typer.echo(address_of(server))
        console.say("Ctrl-C ends it")
        server.serve_forever()
