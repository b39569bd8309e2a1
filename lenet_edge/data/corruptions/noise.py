"""Corruptions of single pixels: noise, brightness, stripes."""

import numpy as np

from lenet_edge.data.corruptions.levels import Levels


def shot_noise(levels: Levels, generator: np.random.Generator, photons: float = 3) -> Levels:
    """Poisson noise of an exposure of which white is so many `photons`."""
    return (generator.poisson(levels * photons) / photons).astype(np.float32)


def impulse_noise(levels: Levels, generator: np.random.Generator, share: float = 0.17) -> Levels:
    """So large a share of the pixels turned black or white, with equal chance."""
    drawn = generator.random(levels.shape, np.float32)
    spoilt = np.where(drawn < share / 2, np.float32(0), np.float32(1))
    return np.where(drawn < share, spoilt, levels)


def brightness(levels: Levels, _generator: np.random.Generator, added: float = 0.5) -> Levels:
    """Lighter everywhere by so much of the range."""
    return levels + np.float32(added)


def stripe(levels: Levels, _generator: np.random.Generator, columns: int = 7) -> Levels:
    """So many columns at the left and at the right inverted."""
    found = levels.copy()
    for part in (found[:, :, :columns], found[:, :, levels.shape[2] - columns :]):
        np.subtract(1, part, out=part)
    return found
