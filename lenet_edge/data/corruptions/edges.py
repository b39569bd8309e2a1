"""The edges of an image alone (Canny 1986, "A computational approach to edge detection")."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lenet_edge.data.corruptions.levels import Levels

SOBEL = ([1, 0, -1], [1, 2, 1])  # across and along an edge, divided by 4: a step of 1 has the slope 1


def canny_edges(
    levels: Levels, _generator: np.random.Generator, sigma: float = 1, low: float = 0.1, high: float = 0.2
) -> Levels:
    """White lines of one pixel where brightness changes most, on black.

    Blurred by `sigma`; a line is where the slope is greatest across it and at least `low`, and somewhere `high`.
    """
    smooth = ndimage.gaussian_filter(levels, (0, sigma, sigma), mode="constant")
    down, right = (
        ndimage.correlate1d(ndimage.correlate1d(smooth, SOBEL[0], axis), SOBEL[1], 3 - axis) / 4 for axis in (1, 2)
    )
    slope = np.hypot(down, right)
    ridge = _is_greatest_across(slope, down, right) & (slope >= low)
    ridge[:, [0, -1]] = ridge[:, :, [0, -1]] = False
    beside = np.zeros((3, 3, 3), int)
    beside[1] = 1  # neighbours in the same image
    lines, count = ndimage.label(ridge, beside)
    strong = np.zeros(count + 1, bool)
    strong[lines[ridge & (slope >= high)]] = True
    strong[0] = False
    return np.asarray(strong[lines], np.float32)


def _is_greatest_across(slope: Levels, down: Levels, right: Levels) -> NDArray[np.bool_]:
    """Whether the slope is as great as one pixel further along the gradient, both ways, between pixels interpolated."""
    steep = np.abs(down) >= np.abs(right)
    long, short = np.where(steep, down, right), np.where(steep, right, down)
    share = np.abs(short) / np.maximum(np.abs(long), np.finfo(np.float32).tiny)
    padded = np.pad(slope, ((0, 0), (1, 1), (1, 1)))
    n, height, width = slope.shape
    image, row, column = np.ogrid[:n, 1 : height + 1, 1 : width + 1]
    found = np.ones(slope.shape, bool)
    for way in (-1, 1):
        rows, columns = way * np.sign(down).astype(int), way * np.sign(right).astype(int)
        straight = padded[image, row + rows * steep, column + columns * ~steep]
        slanted = padded[image, row + rows, column + columns]
        found &= slope >= straight + (slanted - straight) * share
    return found
