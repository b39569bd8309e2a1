"""Digits on photographed paper: how many are read right, by what is in the way.

    python benchmarks/photos.py MODEL

Validation digits of MNIST as skeletons (`drawings.py`), drawn on paper and then spoilt as a telephone's camera does.
"""

import argparse
import io
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from drawings import Sketch, validation_sketches
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from lenet_edge.evaluation.statistics import wilson_interval
from lenet_edge_runtime import Classifier

WIDTH, HEIGHT = 240, 320  # pixels of a photo
Levels = NDArray[np.float64]  # [HEIGHT, WIDTH], 0 to 255


def ink_of(sketch: Sketch, generator: np.random.Generator, halves: bool = False) -> Levels:
    """How much ink there is, 0 to 1; with `halves` the lower strokes are half as dark."""
    side, pen = generator.uniform(90, 170), float(generator.uniform(4, 14))
    reach = np.abs(sketch.lines).max((0, 1)) * side + pen
    place = [generator.uniform(r, size - r) for r, size in zip(reach, (WIDTH, HEIGHT), strict=True)]
    page = Image.new("L", (WIDTH * 2, HEIGHT * 2))
    drawing = ImageDraw.Draw(page)
    for line in sketch.lines:
        level = 130 if halves and line[:, 1].mean() > 0 else 255
        ends = [tuple(2 * point) for point in line * side + place]
        drawing.line(ends, level, round(2 * pen))
        for x, y in ends:
            drawing.ellipse((x - pen, y - pen, x + pen, y + pen), level)
    return np.asarray(page.reduce(2), np.float64) / 255


def paper(generator: np.random.Generator) -> Levels:
    """Grey levels of paper, a little brighter on one side."""
    return np.linspace(215, 190, WIDTH)[None] + np.linspace(10, -10, HEIGHT)[:, None] * generator.uniform(-1, 1)


def photo(ink: Levels, ground: Levels, generator: np.random.Generator, noise: float = 4) -> Image.Image:
    """Dark ink on the ground, with noise."""
    dark = generator.uniform(0.15, 0.45)
    levels = ground * (1 - ink * (1 - dark)) + generator.normal(0, noise, ink.shape)
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def shadow(generator: np.random.Generator) -> Levels:
    """A hand's shadow with a soft edge across the paper."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    angle = generator.uniform(0, 2 * np.pi)
    across = (x - WIDTH / 2) * np.cos(angle) + (y - HEIGHT / 2) * np.sin(angle) - generator.uniform(-60, 60)
    return paper(generator) * (1 - 0.5 / (1 + np.exp(-across / generator.uniform(1, 12))))


def ruled(generator: np.random.Generator, squared: bool) -> Levels:
    """Lines every 25 to 45 pixels, a tenth to a quarter darker than the paper."""
    ground, pitch, depth = paper(generator), int(generator.integers(25, 45)), generator.uniform(0.1, 0.25)
    start = int(generator.integers(pitch))
    lines = np.zeros((HEIGHT, WIDTH), bool)
    lines[start::pitch] = True
    if squared:
        lines[:, start::pitch] = True
    return np.where(lines, ground * (1 - depth), ground)


def framed(generator: np.random.Generator) -> Levels:
    """Paper on a dark table: its edge runs along one to four sides of the photo."""
    ground = paper(generator)
    wide = int(generator.integers(4, 20))
    for side in range(int(generator.integers(1, 5))):
        np.rot90(ground, side)[:wide] = generator.uniform(30, 90)
    return ground


def jpeg(image: Image.Image) -> Image.Image:
    """Strongly compressed."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=12)
    return Image.open(buffer).convert("L")


KINDS: dict[str, Callable[[Sketch, np.random.Generator], Image.Image]] = {
    "even light": lambda s, g: photo(ink_of(s, g), paper(g), g),
    "shadow": lambda s, g: photo(ink_of(s, g), shadow(g), g),
    "lined paper": lambda s, g: photo(ink_of(s, g), ruled(g, squared=False), g),
    "squared paper": lambda s, g: photo(ink_of(s, g), ruled(g, squared=True), g),
    "edge of the table": lambda s, g: photo(ink_of(s, g), framed(g), g),
    "strokes of two darknesses": lambda s, g: photo(ink_of(s, g, halves=True), paper(g), g),
    "noise": lambda s, g: photo(ink_of(s, g), paper(g), g, noise=25),
    "JPEG": lambda s, g: jpeg(photo(ink_of(s, g), paper(g), g)),
    "blur": lambda s, g: photo(ink_of(s, g), paper(g), g).filter(ImageFilter.GaussianBlur(5)),
    "dim": lambda s, g: photo(ink_of(s, g), paper(g) / 3, g),
}


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description="Digits on photographed paper, read by an exported file.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--count", type=int, default=200, help="photos of each kind")
    arguments = parser.parse_args()
    classifier = Classifier(arguments.model)
    chosen = validation_sketches(arguments.data_dir, arguments.count)
    print("| photos with | right | 95 % interval |\n| --- | ---: | ---: |")
    for number, (name, make) in enumerate(KINDS.items()):
        generator = np.random.default_rng((0, number))
        hits = sum(classifier.predict(make(sketch, generator)).label == str(sketch.label) for sketch in chosen)
        low, high = wilson_interval(hits, len(chosen))
        print(f"| {name} | {hits / len(chosen):.1%} | {low:.1%} to {high:.1%} |", flush=True)
    print(f"\n{len(chosen)} photos of each kind. Command: `python {shlex.join(sys.argv)}`")


if __name__ == "__main__":
    main()
