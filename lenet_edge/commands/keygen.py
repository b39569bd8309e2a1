"""`lenet-edge keygen`: needs the base install and the extra `sign`."""

from pathlib import Path
from typing import Annotated

import typer

from lenet_edge import console
from lenet_edge.options import JsonOption

NAME = "keygen"


def run(
    key: Annotated[Path, typer.Argument(help="The private key's file, which is not there yet.")] = Path(
        "lenet-edge-key.pem"
    ),
    as_json: JsonOption = False,
) -> None:
    """Make a key pair to sign exported files with: a private key (mode 600), and beside it the public one (.pub).

    Example: lenet-edge keygen lenet-edge-key.pem
    """
    from lenet_edge.artefacts.signing import write_keys

    fingerprint = write_keys(key)
    if as_json:
        console.print_json({"key": key, "public_key": f"{key}.pub", "fingerprint": fingerprint})
        return
    typer.echo(fingerprint)
    console.say(f"keep {key} to yourself, and give {key}.pub to those who check; next: lenet-edge sign RUN --key {key}")
