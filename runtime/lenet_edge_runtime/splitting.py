"""A picture with several digits, cut into them: connected ink, put together where it lies in the same columns.

A digit may be in several parts (a 5 and its bar, a broken stroke): they overlap from left to right, which neighbours
hardly do. Digits whose ink touches are one part and come out as one. What the constants do: `benchmarks/splitting.py`.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from lenet_edge_runtime.components import Components, find_components
from lenet_edge_runtime.errors import ArgumentError, ImageError
from lenet_edge_runtime.fitting import (
    INK,
    FitPolicy,
    Fitted,
    Invert,
    Page,
    fit_polarised,
    ink_of,
    is_handwriting,
    is_inverted,
    page_of,
    without_rim,
)
from lenet_edge_runtime.spec import ModelSpec

Box = tuple[int, int, int, int]  # left, top, right, bottom in the picture's pixels; the last two are outside
Boxes = NDArray[np.int64]  # [n, 4], such boxes in a page's pixels

SPECK = 0.12  # of the tallest part's height: what is smaller both ways is none
NEAR = 0.2  # of the taller of two parts' heights: as much as a stroke that broke leaves free
ABOVE = 0.3  # of the lower of two heights: parts with no more rows in common lie one above the other
ASIDE = 0.2  # of the narrower of two widths that such parts of one digit have in common: a 5's bar goes far aside
TALL = 0.5  # of the tallest height: such parts make the lines, and smaller ones belong to the nearest of them
ROW = 0.4  # of the lower of two heights that tall parts of one line have in common
COLUMN = 0.5  # of the narrower of two widths that parts of one digit have in common
SHORT = 0.35  # of the tallest height in its line: what is no taller than that is no digit of its own
MOST = 500  # parts: beyond, the picture is noise or a pattern
MARGIN = 0.2  # of a digit's longer side, around it, as MNIST's have it


@dataclass(frozen=True)
class Piece:
    """One digit of a picture, and where it is."""

    box: Box
    fitted: Fitted


def split_image(image: Image.Image, spec: ModelSpec, invert: Invert = "auto", fit: FitPolicy = "auto") -> list[Piece]:
    """The digits of `image` (upright, mode L), each fitted to the input that `spec` describes as `fit_image` does.

    In the order of reading: lines from top to bottom, each from left to right; none for a picture without ink. Raises
    ArgumentError for a classifier of colour images, ImageError for a picture of hundreds of pieces, and what
    `fit_image` raises.
    """
    if spec.channels != 1:
        raise ArgumentError("pictures are split for classifiers of grey images, this one takes colour")
    page = page_of(image) if is_handwriting(spec, fit) else Page(image)
    inverted = is_inverted(page.image, spec, invert)
    is_light = spec.polarity == "light-on-dark"
    dark_ink = inverted if is_light else is_inverted(page.image, replace(spec, polarity="light-on-dark"), "auto")
    ink = without_rim(ink_of(ImageOps.invert(page.image) if dark_ink else page.image, dark_ink))
    parts = find_components(ink > INK)
    pieces = []
    for members in _digits(parts.boxes):
        digit, box = _cut(ink, parts, members)
        if dark_ink != inverted:
            digit = ImageOps.invert(digit)
        pieces.append(
            Piece(_in_picture(box, page, image), replace(fit_polarised(digit, spec, fit, False), inverted=inverted))
        )
    return pieces


def _digits(boxes: Boxes) -> list[list[int]]:
    """The numbers of the parts of each digit, in the order of reading."""
    if not len(boxes):
        return []
    sides = boxes[:, 2:] - boxes[:, :2]
    kept = np.flatnonzero(sides.max(axis=1) >= SPECK * sides[:, 1].max())
    if len(kept) > MOST:
        raise ImageError(f"{len(kept):,} pieces of ink are no rows of digits (at most {MOST}): cut the picture to them")
    groups = _mended([_Group(_around(boxes[[number]]), [int(number)]) for number in kept])
    return [digit.parts for line in _lines(groups) for digit in _merged(line)]


@dataclass(frozen=True)
class _Group:
    """Parts that belong together, and the box around them in a page's pixels."""

    box: Box
    parts: list[int]

    @property
    def height(self) -> int:
        return self.box[3] - self.box[1]

    @property
    def width(self) -> int:
        return self.box[2] - self.box[0]

    def common(self, other: "_Group", axis: int) -> float:
        """What both have in common along an axis (0: columns, 1: rows), as a share of the smaller of them."""
        ends = [(group.box[axis], group.box[axis + 2]) for group in (self, other)]
        overlap = min(end for _, end in ends) - max(start for start, _ in ends)
        return max(0, overlap) / min(end - start for start, end in ends)

    def gap(self, other: "_Group") -> int:
        """Rows between them; below 0 where they overlap."""
        return max(other.box[1] - self.box[3], self.box[1] - other.box[3])

    def with_(self, other: "_Group") -> "_Group":
        return _Group(_around(np.array([self.box, other.box])), self.parts + other.parts)


def _mended(parts: list[_Group]) -> list[_Group]:
    """Strokes that broke put together: one close below the other."""
    groups: list[_Group] = []
    for part in sorted(parts, key=lambda part: part.box[1]):
        for other in list(groups):
            is_near = other.gap(part) < NEAR * max(other.height, part.height)
            if is_near and other.common(part, 0) >= (ASIDE if other.common(part, 1) <= ABOVE else COLUMN):
                groups.remove(other)
                part = other.with_(part)
        groups.append(part)
    return groups


def _lines(groups: list[_Group]) -> list[list[_Group]]:
    """The lines from top to bottom: tall groups beside each other make them, the others belong to the nearest."""
    tall = TALL * max((group.height for group in groups), default=0)
    lines: list[list[_Group]] = []
    for group in sorted((group for group in groups if group.height >= tall), key=lambda group: group.box[0]):
        best = max(lines, key=lambda line: line[-1].common(group, 1), default=None)
        if best is not None and best[-1].common(group, 1) >= ROW:
            best.append(group)
        else:
            lines.append([group])
    whole = [_Group(_around(np.array([group.box for group in line])), []) for line in lines]
    for group in groups:
        if group.height < tall:
            gaps = [span.gap(group) for span in whole]
            lines[gaps.index(min(gaps))].append(group)
    return sorted(lines, key=lambda line: float(np.median([group.box[1] + group.box[3] for group in line])))


def _merged(line: list[_Group]) -> list[_Group]:
    """The digits of a line from left to right: its tall groups, and with each the short ones in its columns."""
    tallest = max(group.height for group in line)
    digits: list[_Group] = []
    for group in sorted(line, key=lambda group: -group.height):
        best = max(digits, key=lambda digit: digit.common(group, 0), default=None)
        if best is not None and best.common(group, 0) >= COLUMN:
            digits[digits.index(best)] = best.with_(group)
        elif group.height > SHORT * tallest:
            digits.append(group)
    return sorted(digits, key=lambda digit: digit.box[0])


def _around(boxes: Boxes) -> Box:
    left, top = boxes[:, :2].min(axis=0)
    right, bottom = boxes[:, 2:].max(axis=0)
    return int(left), int(top), int(right), int(bottom)


def _cut(ink: NDArray[np.float32], parts: Components, members: list[int]) -> tuple[Image.Image, Box]:
    """The digit of these parts alone, light on dark with a margin, and its box in the page's pixels."""
    box = _around(parts.boxes[members])
    left, top, right, bottom = box
    margin = 1 + round(MARGIN * max(right - left, bottom - top))
    window = slice(max(0, top - 2), bottom + 2), slice(max(0, left - 2), right + 2)
    labels = parts.labels[window]
    own = np.isin(labels, np.array(members) + 1)
    edge = np.asarray(Image.fromarray(own).convert("L").filter(ImageFilter.MaxFilter(5))) > 0
    levels = np.where(own | (edge & (labels == 0)), ink[window], 0)
    digit = Image.fromarray(np.rint(levels * 255).astype(np.uint8))
    return ImageOps.expand(digit, margin), box


def _in_picture(box: Box, page: Page, image: Image.Image) -> Box:
    left, top, right, bottom = (edge * page.scale for edge in box)
    return (
        page.left + left,
        page.top + top,
        min(page.left + right, image.width),
        min(page.top + bottom, image.height),
    )
