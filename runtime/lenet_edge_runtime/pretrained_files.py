"""The int8 networks that come with the package, by name: no training needed. `benchmarks/pretrained.py` makes them."""

from pathlib import Path

from lenet_edge_runtime.near_names import did_you_mean

FOLDER = Path(__file__).parent / "pretrained"
PREFIX = "pretrained:"  # before a name, where a path may stand as well
PRETRAINED = ("mnist", "fashion-mnist")


def pretrained_name(given: Path | str) -> str | None:
    """The network that `given` names, as `mnist` or `pretrained:mnist`; None for anything else, or where it exists."""
    name = str(given).removeprefix(PREFIX)
    return name if name in PRETRAINED and not Path(given).exists() else None


def no_such_network(given: Path | str) -> str:
    """What is said of a name behind PREFIX that no network has."""
    near = did_you_mean(str(given).removeprefix(PREFIX), PRETRAINED)
    return f"no network called {given} comes with lenet-edge; {near}there is {', '.join(PRETRAINED)}"


def pretrained_file(name: str) -> Path:
    """Its file: int8 ONNX with its card, its seal and known answers."""
    return FOLDER / f"{name}.int8.onnx"
