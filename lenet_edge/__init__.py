"""lenet-edge: train LeNet-5, export it, and prove that the exported files still answer like the PyTorch model.

The functions are those of `lenet_edge.api`, imported where one is first used.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lenet_edge.api import benchmark, evaluate, examine, export, open_run, train, verify

__all__ = ["__version__", "benchmark", "evaluate", "examine", "export", "open_run", "train", "verify"]

__version__ = version("lenet-edge")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lenet_edge import api

    return getattr(api, name)
