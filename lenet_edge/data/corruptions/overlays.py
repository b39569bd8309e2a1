"""Corruptions that lay something over the image: fog, mud, lines."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lenet_edge.data.corruptions.levels import Levels

MAP = 256  # pixels a side of the fog, of which an image sees one corner
FOGS = 16  # made at once: 4 MiB, which stay in the cache
PEN = 1.7  # pixels above and below a line's middle at which nothing is left of it
DASH = 2  # columns of a dotted line that are there, and as many that are not
TOOTH = 2.0  # pixels that a zigzag goes to each side, and half of what it takes to come back
MARGIN = 2  # columns at each side that a zigzag leaves free
MUD = 63 / 255  # its grey
THICK = 0.8  # of what is blurred; thinner mud is none


def fog(levels: Levels, generator: np.random.Generator, amount: float = 3, decay: float = 1.4) -> Levels:
    """So many times the brightness in fog, the whole brought back to the brightness of the image.

    The fog is a height map by the diamond-square algorithm (Fournier, Fussell & Carpenter 1982) on a torus.
    """
    n, height, width = levels.shape
    brightest = levels.max(axis=(1, 2), keepdims=True)
    found = levels.copy()
    for first in range(0, n, FOGS):
        part = found[first : first + FOGS]
        part += np.float32(amount) * _clouds(len(part), decay, generator)[:, :height, :width]
    found *= brightest / (brightest + np.float32(amount))
    return found


def _clouds(count: int, decay: float, generator: np.random.Generator) -> Levels:
    """Maps from 0 to 1, float32 [count, MAP, MAP]."""
    found, step, size = np.zeros((count, MAP, MAP), np.float32), MAP, np.float32(1)

    def jittered(total: Levels) -> Levels:
        return total / np.float32(4) + size * (2 * generator.random(total.shape, np.float32) - 1)

    while step > 1:
        half = step // 2
        corners = found[:, ::step, ::step]
        across = corners + np.roll(corners, -1, 1)
        found[:, half::step, half::step] = jittered(across + np.roll(across, -1, 2))
        middles = found[:, half::step, half::step]
        beside = corners + np.roll(corners, -1, 2) + middles + np.roll(middles, 1, 1)
        found[:, ::step, half::step] = jittered(beside)
        below = corners + np.roll(corners, -1, 1) + middles + np.roll(middles, 1, 2)
        found[:, half::step, ::step] = jittered(below)
        step, size = half, size / np.float32(decay**2)
    found -= found.min(axis=(1, 2), keepdims=True)
    found /= found.max(axis=(1, 2), keepdims=True)
    return found


def spatter(levels: Levels, generator: np.random.Generator, level: float = 0.65) -> Levels:
    """Grey mud wherever smooth noise (mean 0.65, deviation 0.3, then blurred) is above a level."""
    liquid = ndimage.gaussian_filter(
        generator.normal(0.65, 0.3, levels.shape).astype(np.float32), (0, 1, 1), mode="nearest"
    )
    mud = ndimage.gaussian_filter((liquid > level).astype(np.float32), (0, 1.5, 1.5), mode="nearest")
    mud[mud < THICK] = 0
    return np.asarray(levels * (1 - mud) + np.float32(MUD) * mud, np.float32)


def dotted_line(levels: Levels, generator: np.random.Generator) -> Levels:
    """A dotted line from edge to edge, straight, between any two heights."""
    n, height, width = levels.shape
    left, right = generator.integers(height - 1, size=(2, n, 1))
    share = np.arange(width) / (width - 1)
    line = _line(left + share * (right - left), height)
    line[:, :, np.arange(width) // DASH % 2 == 0] = 0
    return levels + line


def zigzag(levels: Levels, generator: np.random.Generator) -> Levels:
    """A zigzag from left to right, at any height, that rises or falls by up to 5 pixels on its way."""
    n, height, width = levels.shape
    start, rise = generator.integers(height - 1, size=(n, 1)), generator.integers(-5, 6, size=(n, 1))
    way = np.arange(width) - MARGIN
    teeth = TOOTH * (1 - 2 * np.abs((way / TOOTH + 1) % 4 / 2 - 1))
    line = _line(start + rise * way / (width - 2 * MARGIN) + teeth, height)
    line[:, :, (way < 0) | (way >= width - 2 * MARGIN)] = 0
    return levels + line


def _line(middle: NDArray[np.float64], height: int) -> Levels:
    """A bright line, float32 [n, height, width], that in each column is at its `middle` [n, width]."""
    away = np.abs(np.arange(height)[:, None] - middle[:, None])
    return np.asarray((1 - away / PEN).clip(0, 1), np.float32)
