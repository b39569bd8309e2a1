"""The fifteen kinds of MNIST-C (Mu & Gilmer 2019, arXiv:1906.02337), each a function of images and random numbers.

They are written from their definitions, at the severities that MNIST-C has; where a figure or a filter is ours, its
function says so. The images are not MNIST-C's own, bit for bit: accuracies on the two can be compared only so far.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lenet_edge.data.corruptions.blurs import glass_blur, motion_blur
from lenet_edge.data.corruptions.edges import canny_edges
from lenet_edge.data.corruptions.levels import Levels
from lenet_edge.data.corruptions.noise import brightness, impulse_noise, shot_noise, stripe
from lenet_edge.data.corruptions.overlays import dotted_line, fog, spatter, zigzag
from lenet_edge.data.corruptions.warps import rotate, scale, shear, translate
from lenet_edge_runtime.errors import DataError

SHAPE = (1, 28, 28)  # the constants of all kinds are for light content on a dark ground of this size
Kind = Callable[[Levels, np.random.Generator], Levels]
KINDS: dict[str, Kind] = {
    "shot noise": shot_noise,
    "impulse noise": impulse_noise,
    "glass blur": glass_blur,
    "motion blur": motion_blur,
    "shear": shear,
    "scale": scale,
    "rotate": rotate,
    "brightness": brightness,
    "translate": translate,
    "stripe": stripe,
    "fog": fog,
    "spatter": spatter,
    "dotted line": dotted_line,
    "zigzag": zigzag,
    "canny edges": canny_edges,
}


def corrupted(pixels: NDArray[np.uint8], kind: str, seed: int = 0) -> NDArray[np.uint8]:
    """As many images, uint8 [n, 1, 28, 28], spoilt in one of KINDS; the same images and seed give the same bytes.

    Each kind draws from a generator of its own. Raises DataError for images of another shape.
    """
    check_shape(pixels.shape[1:])
    generator = np.random.default_rng((seed, list(KINDS).index(kind)))
    levels = KINDS[kind](pixels[:, 0].astype(np.float32) / np.float32(255), generator)
    return np.asarray(np.rint(levels.clip(0, 1) * 255)[:, None], np.uint8)


def check_shape(shape: tuple[int, ...]) -> None:
    """Raise DataError for images (channels, height, width) that the kinds are not made for."""
    if shape != SHAPE:
        raise DataError(
            f"corruptions are defined for grey images of 28 x 28, these are {shape[1]} x {shape[2]} with {shape[0]} "
            f"channel(s): leave out --corruptions"
        )
