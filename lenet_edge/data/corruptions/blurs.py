"""Corruptions that smear pixels over others: frosted glass, a moving camera."""

import numpy as np
from scipy import ndimage

from lenet_edge.data.corruptions.levels import Levels

SHUTTER = 21  # pixels that a trail is followed


def glass_blur(levels: Levels, generator: np.random.Generator, sigma: float = 0.7, rounds: int = 2) -> Levels:
    """Seen through frosted glass: blurred, half of the pixels swapped with a neighbour so many times, blurred again.

    The neighbour is one of the nine places around and at the pixel (MNIST-C: of four, above and to the left).
    """
    found = ndimage.gaussian_filter(levels, (0, sigma, sigma), mode="nearest")
    n, height, width = levels.shape
    every = np.arange(n)
    for _ in range(rounds):
        for row in range(height - 2, 0, -1):
            for column in range(width - 2, 0, -1):
                down, right = generator.integers(-1, 2, (2, n)) * generator.integers(2, size=n)
                taken = found[every, row + down, column + right]
                found[every, row + down, column + right] = found[:, row, column]
                found[:, row, column] = taken
    return np.asarray(ndimage.gaussian_filter(found, (0, sigma, sigma), mode="nearest"), np.float32)


def motion_blur(levels: Levels, generator: np.random.Generator, sigma: float = 3, degrees: float = 45) -> Levels:
    """Each pixel the mean over a trail to one side of it, weighted by half a Gaussian of `sigma` pixels.

    The trail is at most `degrees` off the horizontal; it goes over whole pixels, and the edge's go on outside.
    """
    n, height, width = levels.shape
    angles = np.radians(generator.uniform(-degrees, degrees, n))
    weights = np.exp(-(np.arange(SHUTTER) ** 2) / (2 * sigma**2)) if sigma else np.eye(1, SHUTTER)[0]
    found = np.zeros_like(levels)
    for step, weight in enumerate(weights / weights.sum()):
        rows = (np.arange(height) + np.rint(step * np.sin(angles)).astype(int)[:, None]).clip(0, height - 1)
        columns = (np.arange(width) + np.rint(step * np.cos(angles)).astype(int)[:, None]).clip(0, width - 1)
        found += np.float32(weight) * levels[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None]]
    return found
