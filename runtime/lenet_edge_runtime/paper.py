"""What lies around a digit on a photographed page: the edge of a table, and light that is not even.

The ground is what a grey-scale opening or closing leaves (Serra 1982): the least, then the greatest, of a window wider
than any stroke, or the other way round. What it does for photographs: `benchmarks/photos.py`.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenet_edge_runtime.components import find_components

Grey = NDArray[np.uint8]

STRIP = 10  # a strip at the border takes up at most one such part of the page
FAR = 0.3  # of the page's range of levels: so far from its median a strip has to be
WINDOW = 3  # the window takes up one such part of the page: no stroke is as wide
NEAR = 12  # and of the window that tells ink from ground: the inside of a loop is wider
CLEAR = 1.2  # times as much of one as of the other is clear: of noise there is as much of both
ALONG = 0.5  # of a part's longer side that lies on the page's border: a digit touches it at a place, a table along it
LEFT = 0.1  # of the page's shorter side: so long has another part to be
UNEVEN = 0.15  # of the greatest contrast: a border that varies by more is no even ground


def inner_box(page: Image.Image) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the page without strips of another level along its border: a table, a frame."""
    grey = np.asarray(page)
    median = float(np.median(grey))
    far = np.abs(grey - median) > FAR * (float(grey.max()) - float(grey.min()))
    top, bottom = (_strip(rows) for rows in (far, far[::-1]))
    left, right = (_strip(rows) for rows in (far.T, far.T[::-1]))
    return left, top, page.width - right, page.height - bottom


def _strip(far: NDArray[np.bool_]) -> int:
    """How many rows from the first on are strip, with what is blurred beside it; 0 where there is no paper after it."""
    counts = far.sum(axis=1)
    most = len(far) // STRIP
    rows = int((counts[: most + 1] * 100 >= 97 * far.shape[1]).cumprod().sum())
    if rows == 0 or rows > most or counts[rows + 3] * 10 > 3 * far.shape[1]:
        return 0
    return rows + 3


def is_rim(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of a page's ink, [height, width], lies along its border and is no digit: a table, a shadow's corner.

    None of it where no other ink would be left.
    """
    rim = np.zeros_like(ink)
    if not _border_of(ink).any():
        return rim
    parts = find_components(ink)
    touching = np.bincount(_border_of(parts.labels), minlength=len(parts.boxes) + 1)[1:]
    sides = (parts.boxes[:, 2:] - parts.boxes[:, :2]).max(axis=1)
    along = touching >= ALONG * sides
    if not (sides[~along] >= LEFT * min(ink.shape)).any():
        return rim
    return np.append(False, along)[parts.labels]


def _border_of(page: NDArray[Any]) -> NDArray[Any]:
    """Each pixel of the border once."""
    return np.concatenate([page[0], page[-1], page[1:-1, 0], page[1:-1, -1]])


def is_uneven(border: Grey, grey: Grey) -> bool:
    """Whether one level in ten of the border is further from its median than a share of the greatest contrast."""
    median = float(np.median(border))
    deviations = np.sort(np.abs(border - median))
    contrast = max(float(grey.max()) - median, median - float(grey.min()))
    return float(deviations[len(deviations) * 9 // 10]) > UNEVEN * contrast


def is_dark_on_light(grey: Grey) -> bool | None:
    """Whether strokes are clearly darker than the ground beside them; None where they are too wide for that."""
    darker = (_ground(grey, "dark", NEAR) - grey.astype(np.int64)).sum()
    lighter = (grey.astype(np.int64) - _ground(grey, "light", NEAR)).sum()
    if max(darker, lighter) < CLEAR * min(darker, lighter):
        return None
    return bool(darker > lighter)


def evened(page: Image.Image, was_inverted: bool) -> Image.Image:
    """Light ink on a ground of 0: what is above the local ground, as a share of the paper's light for dark ink."""
    grey = np.asarray(page)
    ground = _ground(grey, "light", WINDOW).astype(np.int64)
    above = grey - ground
    if was_inverted:
        above = above * 255 // np.maximum(255 - ground, 1)
    return Image.fromarray(above.astype(np.uint8))


def _ground(grey: Grey, ink: Literal["light", "dark"], part: int) -> Grey:
    """The page without strokes of this kind that are narrower than one such part of it: uint8, as large."""
    reach = min(grey.shape) // (2 * part)
    first, then = (np.minimum, np.maximum) if ink == "light" else (np.maximum, np.minimum)
    return _windowed(_windowed(grey, reach, first), reach, then)


def _windowed(grey: Grey, reach: int, better: np.ufunc) -> Grey:
    """The least or greatest of a square of 2 * reach + 1 pixels around each; edges are repeated."""
    for _ in range(2):
        grey = np.pad(grey, ((reach, reach), (0, 0)), mode="edge")
        covered, wanted = 1, 2 * reach + 1
        while covered < wanted:  # windows of 1, 2, 4, ... rows, then one that overlaps
            step = min(covered, wanted - covered)
            grey = better(grey[:-step], grey[step:])
            covered += step
        grey = grey.T
    return np.ascontiguousarray(grey)
