"""How every picture by matplotlib is saved."""

from pathlib import Path
from typing import TYPE_CHECKING

from lenet_edge_exporters import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save(figure: "Figure", path: Path) -> None:
    """Write the figure as a PNG, whole or not at all, and close it."""
    from matplotlib import pyplot

    with atomic.staged(path) as temporary:
        # Without the software's version the same figures give the same bytes.
        figure.savefig(temporary, dpi=120, metadata={"Software": None})
    pyplot.close(figure)
