"""Digits drawn with pens of 1 to 40 pixels on pages of 28 to 2,000: how many are read right.

    python benchmarks/drawings.py MODEL

The digits are skeletons (Zhang & Suen 1984) of MNIST's validation images, as the default seed splits them; no test
image is looked at, so that fitting and recipes may be chosen by this table.
"""

import argparse
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lenet_edge.data.datasets import load_dataset
from lenet_edge.data.image_data import VALIDATION_SHARE, split_indices
from lenet_edge.evaluation.statistics import wilson_interval
from lenet_edge_runtime import Classifier

PENS = (1, 2, 3, 5, 8, 12, 20, 40)  # pixels
PAGES = (28, 64, 130, 280, 600, 2000)  # pixels a side
WIDEST = 1 / 6  # of a digit's height: beyond, people fill their loops
FINENESS = 4  # skeletons are thinned at so many times MNIST's size
COLOURS = (("white", "black"), ("black", "white"), ("#fffbe8", "#1b3a8c"), ("#e6e6e6", "#c02020"), ("white", "#707070"))


@dataclass(frozen=True)
class Sketch:
    """A digit as lines of no width: `lines` float [n, 2 ends, (x, y)], the longer side of their box is 1."""

    lines: NDArray[np.float64]
    label: int


def thinned(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Skeletons of masks [n, h, w], one pixel wide (Zhang & Suen, "A fast parallel algorithm for thinning", 1984)."""
    found = np.pad(masks, ((0, 0), (1, 1), (1, 1)))
    while True:
        before = found.copy()
        for first in (True, False):
            p = [np.roll(found, shift, (1, 2)) for shift in _AROUND]
            neighbours = np.sum(p, axis=0)
            rises = np.sum([~p[i] & p[(i + 1) % 8] for i in range(8)], axis=0)
            north, east, south, west = p[0], p[2], p[4], p[6]
            corner = ~(north & east & south) & ~(east & south & west)
            if not first:
                corner = ~(north & east & west) & ~(north & south & west)
            found = found & ~((neighbours >= 2) & (neighbours <= 6) & (rises == 1) & corner)
        if (found == before).all():
            return found[:, 1:-1, 1:-1]


_AROUND = ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))  # rolls that bring P2 to P9 to P1


def sketches(pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> list[Sketch]:
    """The skeletons of images uint8 [n, 28, 28] as lines."""
    side = 28 * FINENESS
    large = [np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)) for image in pixels]
    skeletons = thinned(np.stack(large) > 127)
    return [Sketch(_lines(mask), int(label)) for mask, label in zip(skeletons, labels, strict=True)]


def _lines(skeleton: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Neighbouring pixels joined, smoothed: float [n, 2, 2] in a box whose longer side is 1."""
    rows, columns = np.nonzero(skeleton)
    points = np.stack([columns, rows], 1).astype(float)
    apart = np.abs(points[:, None] - points[None]).max(2)
    joined = (apart == 1).astype(float)
    starts, ends = np.nonzero(np.triu(joined))
    neighbours = joined.sum(1, keepdims=True)
    for _ in range(4):  # a pixel's staircase becomes a line; what ends stays where it is
        points = np.where(neighbours >= 2, (points + joined @ points) / (1 + neighbours), points)
    lines = np.stack([points[starts], points[ends]], 1) if len(starts) else points[:1, None].repeat(2, 1)
    least, most = lines.min((0, 1)), lines.max((0, 1))
    return np.asarray((lines - (least + most) / 2) / max(float((most - least).max()), 1.0))


def draw(sketch: Sketch, pen: int, page: int, generator: np.random.Generator) -> Image.Image | None:
    """One drawing of mode RGB, somewhere on a square page; None where the pen is too wide for every size on it."""
    margin = pen // 2 + 1
    room = page - 2 * margin
    least = max(0.4 * page, pen / WIDEST)
    if least > 0.9 * room:
        return None
    side = generator.uniform(least, max(least, 0.8 * room))
    extent = np.abs(sketch.lines).max((0, 1)) * side
    place = [generator.uniform(margin + reach, page - margin - reach) for reach in extent]
    ground, ink = COLOURS[generator.integers(len(COLOURS))]
    smooth = 4 if page <= 300 and generator.random() < 0.5 else 1  # half of the small ones with soft edges
    image = Image.new("RGB", (page * smooth,) * 2, ground)
    drawing, radius = ImageDraw.Draw(image), pen * smooth / 2
    for line in (sketch.lines * side + place) * smooth:
        drawing.line([tuple(point) for point in line], ink, pen * smooth)
        if pen * smooth > 2:
            for x, y in line:
                drawing.ellipse((x - radius, y - radius, x + radius, y + radius), ink)
    return image.reduce(smooth) if smooth > 1 else image


def drawings(chosen: list[Sketch], pen: int, page: int, seed: int) -> Iterator[tuple[Image.Image, int]]:
    """Each sketch drawn once, with its label."""
    generator = np.random.default_rng((seed, pen, page))
    for sketch in chosen:
        if (image := draw(sketch, pen, page, generator)) is not None:
            yield image, sketch.label


def validation_sketches(data_dir: Path | None, count: int, seed: int = 0) -> list[Sketch]:
    """Of `count` images of MNIST that the default seed holds back from training."""
    data = load_dataset("mnist", data_dir)
    _, held_out = split_indices(data.train_labels, VALIDATION_SHARE, seed)
    chosen = np.random.default_rng(seed).permutation(held_out)[:count]
    return sketches(data.train_pixels[chosen, 0], data.train_labels[chosen])


def main() -> None:
    """Print the table as Markdown: a row a pen, a column a page."""
    parser = argparse.ArgumentParser(description="Digits drawn with many pens, read by an exported file.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--count", type=int, default=200, help="drawings a cell")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    classifier = Classifier(arguments.model)
    chosen = validation_sketches(arguments.data_dir, arguments.count, arguments.seed)
    print(f"| pen (px) | {' | '.join(f'{page} px' for page in PAGES)} |")
    print("| ---: |" + " ---: |" * len(PAGES))
    right = total = 0
    for pen in PENS:
        cells = []
        for page in PAGES:
            made = drawings(chosen, pen, page, arguments.seed)
            hits = [classifier.predict(image).label == str(label) for image, label in made]
            right, total = right + sum(hits), total + len(hits)
            cells.append(f"{sum(hits) / len(hits):.1%}" if hits else "")
        print(f"| {pen} | {' | '.join(cells)} |", flush=True)
    low, high = wilson_interval(right, total)
    share = f"{right / total:.2%} ({low:.2%} to {high:.2%})"
    print(f"\nAll: {right:,} of {total:,}, {share}; at most {arguments.count} a cell, seed {arguments.seed}.")
    print(f"Command: `python {shlex.join(sys.argv)}`")


if __name__ == "__main__":
    main()
