"""A confusion matrix as a figure."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NUMBERS = 20  # classes; the cells of more are too small for numbers


def draw_confusion(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> "Figure":
    """Rows are the true classes, columns the answers; shades are shares of a row, numbers are images."""
    from matplotlib.figure import Figure

    counts = np.array(matrix)
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    side = max(5.0, min(20.0, 0.5 * len(labels) + 1.5))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("answered")
    axes.set_ylabel("is")
    places = range(len(labels))
    axes.set_xticks(places, labels, rotation=90)
    axes.set_yticks(places, labels)
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        text.set_parse_math(False)  # a label with two dollar signs is no formula
    if len(labels) <= MOST_NUMBERS:
        for row, column in zip(*counts.nonzero(), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour, fontsize=8)
    return figure


def as_pixels(figure: "Figure") -> NDArray[np.uint8]:
    """The figure, uint8 [height, width, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():  # of letters that the font has not: their boxes are seen
        warnings.simplefilter("ignore", UserWarning)
        canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[:, :, :3]  # type: ignore[no-untyped-call]
