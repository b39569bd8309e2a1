"""How a drawn stroke has to be fitted so that it looks like the images a net was trained on.

MNIST's digits were scaled into a box of 20 x 20 and placed by their centre of mass in 28 x 28 (LeCun et al. 1998). A
file does not say so, but its known answers carry real images: what they have in common is measured.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime.spec import ModelSpec

INK = 128  # grey level from which a pixel counts as ink where a stroke's width is measured
MASS_TOLERANCE = 1.0  # pixels; MNIST shifted by whole ones, so its centres of mass spread over one


@dataclass(frozen=True)
class Frame:
    """Where strokes go: the longer side of their box and the pen's width in pixels, and what is put in the middle."""

    box: int
    pen: float
    centre: Literal["mass", "box"]


def frame_of(pixels: NDArray[np.uint8], spec: ModelSpec) -> Frame | None:
    """The frame of images uint8 [n, 1, height, width], or None where they are not written signs on an empty ground.

    Signs are light on dark, have a label of one character, and lie in a box that leaves a border free.
    """
    images = pixels[:, 0][pixels.any(axis=(1, 2, 3))]
    if spec.polarity != "light-on-dark" or any(len(label) > 1 for label in spec.labels) or not len(images):
        return None
    box = round(float(np.median([_longer_side(image) for image in images])))
    if box >= min(spec.height, spec.width):
        return None
    off_centre = max(float(np.abs(_centre_of_mass(image) - _middle(spec)).max()) for image in images)
    return Frame(box, round(_stroke_width(images), 1), "mass" if off_centre <= MASS_TOLERANCE else "box")


def _longer_side(image: NDArray[np.uint8]) -> int:
    return max(int(np.ptp(positions)) + 1 for positions in np.nonzero(image))


def _centre_of_mass(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    rows, columns = (np.arange(size) + 0.5 for size in image.shape)
    moments = np.array([image.sum(1) @ rows, image.sum(0) @ columns], np.float64)
    return moments / float(image.sum())


def _middle(spec: ModelSpec) -> NDArray[np.float64]:
    """The middle of the pixel (height / 2, width / 2), in which MNIST's centres of mass lie."""
    return np.array([spec.height + 1, spec.width + 1]) / 2


def _stroke_width(images: NDArray[np.uint8]) -> float:
    """Twice the ink's area by the length of its outline, which in steps along the grid is 4 / pi times too long."""
    ink = np.pad(images >= INK, ((0, 0), (1, 1), (1, 1)))
    steps = sum(int((np.diff(ink.astype(np.int8), axis=axis) != 0).sum()) for axis in (1, 2))
    return 2 * float(ink.sum()) / (steps * math.pi / 4) if steps else 1.0
