"""lenet-edge: train LeNet-5, export it, and prove that the exported files still answer like the PyTorch model."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("lenet-edge")
