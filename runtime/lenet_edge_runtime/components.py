"""The parts of a picture's ink that hang together: connected components, by runs of pixels in rows and union-find."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Runs = NDArray[np.int64]  # [n]


@dataclass(frozen=True)
class Components:
    """`labels` int64 [height, width]: 0 is ground, 1 to n the components; `boxes` int64 [n, 4], pixels.

    A box is (left, top, right, bottom); right and bottom are the first column and row outside.
    """

    labels: NDArray[np.int64]
    boxes: NDArray[np.int64]


def find_components(mask: NDArray[np.bool_]) -> Components:
    """The components of a mask [height, width], by their first rows; pixels that share a corner touch."""
    height, width = mask.shape
    wide = width + 2  # a column of ground at each side: no run goes over into the next row
    edges = np.flatnonzero(np.diff(np.pad(mask, ((0, 0), (1, 1))).ravel().astype(np.int8), prepend=0))
    starts, ends = edges[::2], edges[1::2]
    found = _joined(len(starts), *_touching(starts, ends, wide))
    _, numbers = np.unique(found, return_inverse=True)
    lengths = ends - starts
    labels = np.zeros(height * wide, np.int64)
    places = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
    labels[places] = np.repeat(numbers + 1, lengths)
    boxes = np.empty((int(numbers.max()) + 1 if len(numbers) else 0, 4), np.int64)
    boxes[:, :2], boxes[:, 2:] = max(height, width), 0
    rows, lefts, rights = starts // wide, starts % wide - 1, ends - starts // wide * wide - 1
    for column, values, better in (
        (0, lefts, np.minimum),
        (1, rows, np.minimum),
        (2, rights, np.maximum),
        (3, rows + 1, np.maximum),
    ):
        better.at(boxes[:, column], numbers, values)
    return Components(labels.reshape(height, wide)[:, 1:-1], boxes)


def _touching(starts: Runs, ends: Runs, wide: int) -> tuple[Runs, Runs]:
    """Pairs of runs, by number, of which the second lies in the next row and touches the first."""
    first = np.searchsorted(ends, starts + wide)  # it ends where the upper one begins, or behind
    behind = np.searchsorted(starts, ends + wide, side="right")
    counts = np.maximum(behind - first, 0)
    upper = np.repeat(np.arange(len(starts)), counts)
    lower = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    return upper, lower


def _joined(count: int, upper: Runs, lower: Runs) -> Runs:
    """The least number of a run that each run hangs together with."""
    least = np.arange(count)
    while True:
        before = least.copy()
        for one, other in ((upper, lower), (lower, upper)):
            np.minimum.at(least, other, least[one])
        least = least[least]
        if (least == before).all():
            return least
