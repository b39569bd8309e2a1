"""Digits on photographed paper: how many are read right, by what is in the way.

    python benchmarks/photos.py MODEL

Validation digits of MNIST as skeletons (`drawings.py`), drawn on paper and then spoilt as a telephone's camera does.
"""

import argparse
import colorsys
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
COLOURS_APART = 0.4  # of RGB's unit cube: closer, people do not see the ink either
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


def ruled(generator: np.random.Generator, squared: bool, dark: bool = False) -> Levels:
    """Lines every 25 to 45 pixels, a tenth to a quarter darker than the paper; `dark`: two pixels wide, up to 0.45."""
    ground, pitch = paper(generator), int(generator.integers(25, 45))
    depth = generator.uniform(0.25, 0.45) if dark else generator.uniform(0.1, 0.25)
    start = int(generator.integers(pitch))
    lines = np.zeros((HEIGHT, WIDTH), bool)
    for row in range(1 + dark):
        lines[start + row :: pitch] = True
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


def lamp(generator: np.random.Generator) -> Levels:
    """A lamp beside the paper: its light falls to a third and less across it."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    angle, near = generator.uniform(0, 2 * np.pi), generator.uniform(0.5, 1)
    away = np.hypot(x - WIDTH * (0.5 + near * np.cos(angle)), y - HEIGHT * (0.5 + near * np.sin(angle))) / HEIGHT
    return 235 / (1 + away**2 * generator.uniform(0.5, 2))


def askew(generator: np.random.Generator) -> Levels:
    """A sheet that does not lie straight in the picture: a wedge of a dark table on one or two sides."""
    ground = paper(generator)
    level = generator.uniform(30, 90)
    for side in range(int(generator.integers(1, 3))):
        turned = np.rot90(ground, side + int(generator.integers(2)) * 2)
        ends = generator.uniform(0, 24, 2)
        edge = np.linspace(*ends, turned.shape[1])
        turned[np.arange(len(turned))[:, None] < edge] = level
    return ground


def tilted(sketch: Sketch, generator: np.random.Generator) -> Sketch:
    """As it is seen from the side: 25 to 50 degrees about any line in the paper, from three digits away."""
    axis, angle = generator.uniform(0, 2 * np.pi), np.radians(generator.uniform(25, 50))
    along, across = (np.cos(axis), np.sin(axis)), (-np.sin(axis), np.cos(axis))
    u, v = (sketch.lines @ np.array(direction) for direction in (along, across))
    nearness = 3 / (3 + v * np.sin(angle))
    seen = nearness[..., None] * (u[..., None] * along + (v * np.cos(angle))[..., None] * across)
    least, most = seen.min((0, 1)), seen.max((0, 1))
    return Sketch((seen - (least + most) / 2) / (most - least).max(), sketch.label)


def boxed(ink: Levels, generator: np.random.Generator) -> Levels:
    """The ink in a box that is drawn by hand of a ruler, as forms have it."""
    rows, columns = (np.flatnonzero(ink.max(axis)) for axis in (1, 0))
    page, gap = Image.fromarray((ink * 255).astype(np.uint8)), int(generator.integers(6, 30))
    edges = (columns[0] - gap, rows[0] - gap, columns[-1] + gap, rows[-1] + gap)
    ImageDraw.Draw(page).rectangle(
        edges, outline=int(generator.integers(120, 256)), width=int(generator.integers(1, 6))
    )
    return np.asarray(page, np.float64) / 255


def at_the_border(ink: Levels, generator: np.random.Generator) -> Image.Image:
    """A photo that is cut so that the ink touches one of its sides."""
    rows, columns = (np.flatnonzero(ink.max(axis)) for axis in (1, 0))
    edges = [0, 0, WIDTH, HEIGHT]
    side = int(generator.integers(4))
    edges[side] = int((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)[side])
    return photo(ink, paper(generator), generator).crop(edges)


def coloured(ink: Levels, generator: np.random.Generator) -> Image.Image:
    """A pen of any hue on paper of any hue, the colours at least as far apart as people need to read it."""
    while True:
        sheet = colorsys.hsv_to_rgb(generator.random(), generator.uniform(0.1, 0.5), generator.uniform(0.75, 0.95))
        pen = colorsys.hsv_to_rgb(generator.random(), generator.uniform(0.6, 1), generator.uniform(0.3, 0.8))
        if np.linalg.norm(np.subtract(sheet, pen)) > COLOURS_APART:
            break
    light = paper(generator)[..., None] / 215
    colours = np.array(sheet) + ink[..., None] * (np.array(pen) - np.array(sheet))
    levels = 255 * light * colours + generator.normal(0, 4, (*ink.shape, 3))
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


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
    "a lamp's light": lambda s, g: photo(ink_of(s, g), lamp(g), g),
    "perspective": lambda s, g: photo(ink_of(tilted(s, g), g), paper(g), g),
    "a sheet askew on a table": lambda s, g: photo(ink_of(s, g), askew(g), g),
    "dark lines": lambda s, g: photo(ink_of(s, g), ruled(g, squared=False, dark=True), g),
    "coloured ink and paper": lambda s, g: coloured(ink_of(s, g), g),
    "ink at the picture's border": lambda s, g: at_the_border(ink_of(s, g), g),
    "a drawn box around it": lambda s, g: photo(boxed(ink_of(s, g), g), paper(g), g),
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
