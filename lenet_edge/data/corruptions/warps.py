"""Affine corruptions about the centre of the image, by bilinear interpolation; what comes from outside is dark."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from lenet_edge.data.corruptions.levels import Levels, signs

Matrix = Sequence[Sequence[float]]  # from a place (row, column) of the result to that of the image


def shear(levels: Levels, generator: np.random.Generator, slope: float = 0.4) -> Levels:
    """Rows shifted against each other by `slope` pixels a row, to either side."""
    return _to_either_side(levels, generator, lambda side: [[1, 0], [side * slope, 1]])


def rotate(levels: Levels, generator: np.random.Generator, radians: float = 0.4) -> Levels:
    """Turned, to either side."""
    sine, cosine = math.sin(radians), math.cos(radians)
    return _to_either_side(levels, generator, lambda side: [[cosine, side * sine], [-side * sine, cosine]])


def scale(levels: Levels, _generator: np.random.Generator, factor: float = 0.7) -> Levels:
    """Made smaller, sampled without antialiasing."""
    return _warped(levels, [[1 / factor, 0], [0, 1 / factor]])


def translate(levels: Levels, generator: np.random.Generator, pixels: int = 3) -> Levels:
    """Moved by so many pixels, up or down and left or right."""
    found = np.zeros_like(levels)
    down, right = signs(len(levels), generator), signs(len(levels), generator)
    for rows in (-1, 1):
        for columns in (-1, 1):
            chosen = (down == rows) & (right == columns)
            found[chosen] = ndimage.shift(levels[chosen], (0, rows * pixels, columns * pixels), order=0)
    return found


def _to_either_side(levels: Levels, generator: np.random.Generator, matrix: Callable[[int], Matrix]) -> Levels:
    found, sides = np.empty_like(levels), signs(len(levels), generator)
    for side in (-1, 1):
        found[sides == side] = _warped(levels[sides == side], matrix(side))
    return found


def _warped(levels: Levels, matrix: Matrix) -> Levels:
    whole = np.eye(3)
    whole[1:, 1:] = matrix
    centre = (np.array(levels.shape) - 1) / 2
    warped = ndimage.affine_transform(levels, whole, centre - whole @ centre, order=1, mode="grid-constant")
    return np.asarray(warped, np.float32)
