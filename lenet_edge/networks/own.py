"""A network of the user's own program, which is imported because its user names it, and never because a run does.

`--net module:callable` or `--net file.py:callable` (a class or a function without arguments that gives an nn.Module)
runs that program. A run's record keeps its name alone, without folders; whoever opens such a run names it again.
"""

import importlib
import importlib.util
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from lenet_edge.networks.architectures import OwnNetConfig
from lenet_edge_runtime.errors import LenetEdgeError
from lenet_edge_runtime.near_names import near_path
from lenet_edge_runtime.reading import real_path

_given: dict[str, Callable[[], Any]] = {}  # by the name that records have
_arguments: dict[str, None] = {}  # of `give`, for a child process


class OwnNetworkError(LenetEdgeError):
    """A program that was not named, cannot be imported, or gives no network for these images."""


def give(argument: str) -> str:
    """Import the program that the command line names; return the name that records have.

    Raises OwnNetworkError where there is no such program or it fails.
    """
    place, separator, attribute = argument.rpartition(":")
    if not separator or not place or not attribute:
        raise OwnNetworkError(f"--net is module:callable or file.py:callable, got {argument!r}")
    try:
        module = _from_file(Path(place)) if place.endswith(".py") else _from_path(place)
        found = getattr(module, attribute)
    except OwnNetworkError:
        raise
    except Exception as error:  # whatever the user's program raises
        raise OwnNetworkError(f"--net {argument}: {type(error).__name__}: {error}") from None
    name = f"{Path(place).name if place.endswith('.py') else place}:{attribute}"
    _given[name] = found
    _arguments[argument] = None
    return name


def given() -> list[str]:
    """What the command line named, for a child process in the same folder to `give` again."""
    return list(_arguments)


def build(config: OwnNetConfig) -> nn.Module:
    """The program's network with fresh weights, giving logits; raises OwnNetworkError where it was not named."""
    from lenet_edge_exporters.probabilities import as_logits

    if config.program not in _given:
        raise OwnNetworkError(
            f"this run's network is the program {config.program}, which is not run unasked: "
            f"name it by --net {config.program} if you trust it"
        )
    shape = (config.channels, config.size, config.size)
    try:
        net = _given[config.program]()
        if not isinstance(net, nn.Module):
            raise OwnNetworkError(f"--net {config.program} gives a {type(net).__name__}, and no torch.nn.Module")
        logits = as_logits(net.eval(), shape)
        _check_classes(net, config, shape)
    except OwnNetworkError:
        raise
    except Exception as error:  # whatever the user's program raises
        raise OwnNetworkError(
            f"--net {config.program} takes no images of {shape}: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from None
    return logits


def layers_of(config: OwnNetConfig) -> OrderedDict[str, nn.Module]:
    """The network as the one layer of a `Network`."""
    return OrderedDict(own=build(config))


def _check_classes(net: nn.Module, config: OwnNetConfig, shape: tuple[int, int, int]) -> None:
    import torch

    with torch.inference_mode():
        outputs = net(torch.zeros(2, *shape))
    if tuple(getattr(outputs, "shape", ())) != (2, config.classes):
        got = list(getattr(outputs, "shape", ())) or type(outputs).__name__
        raise OwnNetworkError(
            f"--net {config.program} gives {got} for 2 images, where {[2, config.classes]} is expected: a number for "
            f"each class"
        )


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise OwnNetworkError(f"--net {path}: there is no such file {near_path(path)}".rstrip())
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses and pickles look a class's module up
    folder = str(real_path(path).parent)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    return module


def _from_path(name: str) -> Any:
    """A module that Python finds, also in the folder that the command is typed in."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(Path.cwd()))
