"""Images spoilt in the fifteen ways of MNIST-C: the table of kinds, and the functions behind it."""

from lenet_edge.data.corruptions.kinds import KINDS, corrupted

__all__ = ["KINDS", "corrupted"]
