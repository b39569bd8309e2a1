"""Packages: an exported folder in the shape that a build tool, a board's environment or npm takes.

What was exported goes in byte for byte; around it come the tool's own files, an example that classifies one known
answer, and a README. One row of `PACKAGES` a kind.
"""

from lenet_edge_exporters.packages.kinds import PACKAGES, PackageKind, chosen, kind_of
from lenet_edge_exporters.packages.writing import Package, render, write

__all__ = ["PACKAGES", "Package", "PackageKind", "chosen", "kind_of", "render", "write"]
