"""`lenet-edge sign`: needs the base install and the extra `sign`."""

from pathlib import Path
from typing import Annotated

import typer

from lenet_edge import console
from lenet_edge.options import JsonOption

NAME = "sign"


def run(
    path: Annotated[Path, typer.Argument(metavar="FILE|RUN", help="An exported file, a run, or a folder of exports.")],
    key: Annotated[Path, typer.Option(help="The private key that 'lenet-edge keygen' wrote.")],
    as_json: JsonOption = False,
) -> None:
    """Sign an exported file or a whole run with an Ed25519 key, so that others can check who made it.

    An ONNX or ORT file carries its signature; of a run or a folder the manifest is signed, in a .sig file beside it.

    Example: lenet-edge sign runs/lenet5-mnist-1 --key lenet-edge-key.pem
    """
    from lenet_edge.artefacts.signing import sign
    from lenet_edge.runs.run import RUNS
    from lenet_edge_runtime.errors import ModelFileError
    from lenet_edge_runtime.near_names import near_path
    from lenet_edge_runtime.signing import read_private_key

    place = path if path.exists() or not (RUNS / path).exists() else RUNS / path
    if not place.exists():
        raise ModelFileError(
            f"{path} does not exist: {near_path(path)}give an exported file, a run, or a folder of exports"
        )
    found = sign(place, read_private_key(key))
    if as_json:
        console.print_json(found)
        return
    typer.echo(found.path)
    run = "--run " if (place / "run.json").is_file() else ""
    console.say(f"signed by {found.fingerprint}; next: lenet-edge verify {run}{place} --public-key {key}.pub")
