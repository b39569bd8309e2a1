"""From an upright image to the pixels that a classifier was trained on: polarity, size, place.

`fit="mnist"` does what was done to make MNIST (http://yann.lecun.com/exdb/mnist): the ink, without its margins, is
scaled with antialiasing into a 20 x 20 box, its proportions kept, and put into 28 x 28 so that its centre of mass is
in the centre. Of the first 2,000 test images of MNIST 47 % come out of it as they went in; in the mean a pixel differs
by 0.4 grey levels, and the default recipe's net gives all of them the class it gave before.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from lenet_edge_runtime.errors import ArgumentError
from lenet_edge_runtime.paper import evened, inner_box, is_dark_on_light, is_rim, is_uneven
from lenet_edge_runtime.spec import Fit, ModelSpec

Invert = Literal["auto"] | bool
FitPolicy = Literal["auto"] | Fit

BOX = 20 / 28  # of the input's side that MNIST's digits take up
LONGEST = 1000  # pixels; a larger photo is reduced before its ink is looked for: it ends in 28 x 28 anyway
SMOOTHED = 3 * 28  # pixels; from here on, 3 x 3 pixels are averaged: a camera's noise falls to a third
PHOTO = 2 * 28  # pixels; from here on, light may be uneven (a large page is no smaller without its strips)
INK = 0.3  # of the greatest contrast: fainter pixels, JPEG's and the camera's noise, do not stretch the box
FULL = 250  # grey levels: the brightest pixel of each of MNIST's 70,000 digits is 254 or 255
OFF_CENTRE = 0.55  # pixels: theirs are at most 0.52 from the centre
FINE = 4  # times the final size at which thin strokes are widened
PEN = 2.0  # pixels
FAINTEST = 8  # grey levels of contrast below which there is no ink


@dataclass(frozen=True)
class Fitted:
    """Raw pixels for a classifier, uint8 [channels, height, width], and whether they were inverted on the way."""

    pixels: NDArray[np.uint8]
    inverted: bool


def fit_image(image: Image.Image, spec: ModelSpec, invert: Invert = "auto", fit: FitPolicy = "auto") -> Fitted:
    """Fit `image` (upright, mode L or RGB, as `images.read_image` gives it) to the input that `spec` describes.

    `invert`: True, False, or "auto", which inverts where the polarity is not that of the spec. `fit`: "mnist" (see
    above), "resize" (the whole image with antialiasing, made as wide in proportion as the input by bars of its
    border's colour), or "auto": as the file says that its training images were, where the image is not so already.
    Raises ArgumentError for another policy, or "mnist" with a colour model.
    """
    if is_handwriting(spec, fit) and spec.channels == 1:
        image = page_of(image).image
    inverted = is_inverted(image, spec, invert)
    return fit_polarised(ImageOps.invert(image) if inverted else image, spec, fit, inverted)


def is_handwriting(spec: ModelSpec, fit: FitPolicy) -> bool:
    """Whether ink is looked for; raises ArgumentError for a policy that there is not."""
    if not isinstance(fit, str) or fit not in ("auto", *get_args(Fit)):
        raise ArgumentError(f'fit is "auto", "mnist" or "resize", got {fit!r}')
    return fit == "mnist" or (fit == "auto" and spec.fit == "mnist")


def fit_polarised(image: Image.Image, spec: ModelSpec, fit: FitPolicy, inverted: bool) -> Fitted:
    """What `fit_image` does once the page is cut and the polarity is right, be it `inverted` or not."""
    size = (spec.width, spec.height)
    if is_handwriting(spec, fit) and (fit == "mnist" or not _is_as_mnist(image, size)):
        return Fitted(_as_mnist(image, spec, inverted)[None], inverted)
    if image.size != size:
        image = ImageOps.pad(image, size, Image.Resampling.LANCZOS, color=_border_colour(image))
    pixels = np.asarray(image, dtype=np.uint8)
    return Fitted(pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1)), inverted)


def is_inverted(image: Image.Image, spec: ModelSpec, invert: Invert) -> bool:
    """Say whether `fit_image` inverts `image`.

    "auto" takes the median of the border for the background; what differs most from it, lighter or darker, is the
    content. So ink on dim grey paper is dark on light too. An image of one colour has no polarity. Where a large
    page's border is uneven, as in a shadow, strokes are compared with the ground beside them.
    """
    if isinstance(invert, bool | np.bool_):
        return bool(invert)
    if not isinstance(invert, str) or invert != "auto":
        raise ArgumentError(f'invert is "auto", True or False, got {invert!r}')
    if spec.polarity == "any":
        return False
    grey = np.asarray(image.convert("L"))
    if spec.fit == "mnist" and min(image.size) >= PHOTO and is_uneven(_border(grey), grey):
        dark_ink = is_dark_on_light(grey)
        if dark_ink is not None:
            return dark_ink == (spec.polarity == "light-on-dark")
    background = float(np.median(_border(grey)))
    lighter, darker = float(grey.max()) - background, background - float(grey.min())
    return darker > lighter if spec.polarity == "light-on-dark" else lighter > darker


def _is_as_mnist(image: Image.Image, size: tuple[int, int]) -> bool:
    """Whether light ink on dark has the size, place and contrast of MNIST's digits: all 70,000 of them do."""
    if image.size != size:
        return False
    levels = np.asarray(image, np.uint8)
    if levels.max() < FULL:
        return False
    sums = [levels.sum(axis, dtype=np.uint32) for axis in (1, 0)]
    longest = max(int(np.ptp(np.flatnonzero(line))) + 1 for line in sums)
    is_centred = all(abs(_centre(line) - len(line) / 2) <= OFF_CENTRE for line in sums)
    return is_centred and longest in (round(BOX * min(size)) - 1, round(BOX * min(size)))


@dataclass(frozen=True)
class Page:
    """What is looked at of a picture: a pixel is `scale` of the picture's, and the first is `left`, `top` there."""

    image: Image.Image
    scale: int = 1
    left: int = 0
    top: int = 0


def page_of(image: Image.Image) -> Page:
    """A large page in as many pixels as are of use, without strips at its border and much noise; others as they are."""
    scale = max(1, max(image.size) // LONGEST)
    image = image.reduce(scale)
    if min(image.size) < SMOOTHED:
        return Page(image, scale)
    box = inner_box(image)
    return Page(image.crop(box).filter(ImageFilter.BoxBlur(1)), scale, box[0] * scale, box[1] * scale)


def _as_mnist(image: Image.Image, spec: ModelSpec, was_inverted: bool) -> NDArray[np.uint8]:
    """Light ink on dark in mode L as MNIST has it: uint8 [height, width]."""
    if spec.channels != 1:
        raise ArgumentError('fit="mnist" is for classifiers of grey images, this one takes colour: use fit="resize"')
    canvas = np.zeros((spec.height, spec.width), np.uint8)
    ink = without_rim(ink_of(image, was_inverted))
    rows, columns = (np.flatnonzero(ink.max(axis) > INK) for axis in (1, 0))
    if not len(rows):
        return canvas
    box = Image.fromarray(np.rint(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] * 255).astype(np.uint8))
    digit = np.asarray(_scaled(box, spec))
    if not digit.any():  # a few specks far apart: nothing is left of them at this size
        return canvas
    height, width = digit.shape
    top, left = (
        # MNIST's centre is pixel 14 of 0 to 27: the mean of its test images' centres of mass is 14.0 both ways.
        int(np.clip(round(side / 2 - _centre(digit.sum(axis))), 0, side - length))
        for axis, side, length in ((1, spec.height, height), (0, spec.width, width))
    )
    canvas[top : top + height, left : left + width] = digit
    return canvas


def _scaled(box: Image.Image, spec: ModelSpec) -> Image.Image:
    """The digit in its final size, at full contrast, its strokes at least as wide as MNIST's thin ones."""
    digit = _stretched(_resized(box, spec, 1))
    widening = round((PEN - _stroke_width(digit)) * FINE / 2)
    if widening < 1 or digit.getextrema() == (0, 0):
        return digit
    fine = ImageOps.expand(_stretched(_resized(box, spec, FINE)), widening)
    return _stretched(_resized(fine.filter(ImageFilter.MaxFilter(2 * widening + 1)), spec, 1))


def _resized(box: Image.Image, spec: ModelSpec, fineness: int) -> Image.Image:
    scale = BOX * fineness * min(spec.height / box.height, spec.width / box.width)
    width, height = (max(1, round(scale * side)) for side in box.size)
    return box.resize((width, height), Image.Resampling.LANCZOS)


def _stretched(digit: Image.Image) -> Image.Image:
    """Full contrast: a thin stroke is faint once it is scaled down."""
    levels = np.asarray(digit, np.int32)
    strongest = max(1, int(levels.max()))
    return Image.fromarray(((levels * 510 + strongest) // (2 * strongest)).astype(np.uint8))


def _stroke_width(digit: Image.Image) -> float:
    """Mean width of the strokes in pixels: twice the ink over the length of its outline.

    The outline is the sum of all steps between neighbours in rows and columns, which of a slanted line is 4 / pi times
    as long in the mean over all directions.
    """
    levels = np.pad(np.asarray(digit, np.int32), 1)
    outline = sum(int(np.abs(np.diff(levels, axis=axis)).sum()) for axis in (0, 1))
    return 8 / math.pi * int(levels.sum()) / max(1, outline)


def ink_of(image: Image.Image, was_inverted: bool) -> NDArray[np.float32]:
    """How much ink there is in light ink on dark, float32 [height, width].

    0 is the background with the noise of its border, 1 the strongest contrast.
    """
    grey = np.asarray(image)
    if min(image.size) >= PHOTO and is_uneven(_border(grey), grey):
        grey = np.asarray(evened(image, was_inverted))
    border = _border(grey).astype(np.float32)
    contrast = grey - np.float32(np.median(border))
    strongest = contrast.max()
    if strongest < FAINTEST:
        return np.zeros(grey.shape, np.float32)
    ink = np.maximum(contrast / strongest, 0)
    # Paper is never even. The 90th percentile, since a digit may touch the border; no more than what is faint anyway.
    # A rank, for np.percentile interpolates to other last bits from one release of NumPy to the next.
    deviations = np.sort(np.abs(border - np.median(border)))
    noise = min(float(deviations[len(deviations) * 9 // 10] / strongest), INK)
    return np.asarray(np.maximum(ink - noise, 0) / (1 - noise), np.float32)


def without_rim(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ink, [height, width], without what lies along a large page's border."""
    return np.where(is_rim(ink > INK), np.float32(0), ink) if min(ink.shape) >= PHOTO else ink


def _centre(weights: NDArray[np.unsignedinteger]) -> float:
    total = float(weights.sum())
    return float((weights * np.arange(len(weights))).sum()) / total


def _border(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def _border_colour(image: Image.Image) -> tuple[int, ...]:
    return (int(np.median(_border(np.asarray(image.convert("L"))))),) * len(image.getbands())
