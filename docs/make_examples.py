"""Writes docs/examples/*.png, the pictures of docs/pictures.md, and prints what pretrained:mnist answers to each.

    python docs/make_examples.py

The digits are lines that stand here; paper, light and noise are drawn. Needs the base install alone.
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from lenet_edge_runtime import Classifier

FOLDER = Path(__file__).with_name("examples")
WIDTH, HEIGHT = 200, 150
FINE = 4  # times the size at which lines are drawn
LEVELS = 12  # greys of a file
Point = tuple[float, float]
Levels = NDArray[np.float64]  # [HEIGHT, WIDTH], 0 to 255


def arc(x: float, y: float, wide: float, high: float, first: int, last: int) -> list[Point]:
    """Points of an ellipse, degrees clockwise from the right."""
    step = 10 if last > first else -10
    angles = map(math.radians, range(first, last + step, step))
    return [(x + wide * math.cos(angle), y + high * math.sin(angle)) for angle in angles]


# Strokes in a box of 0.7 x 1.
DIGITS: dict[str, list[list[Point]]] = {
    "2": [[*arc(0.35, 0.28, 0.32, 0.28, 190, 390), (0.05, 0.98), (0.7, 0.96)]],
    "3": [[*arc(0.3, 0.26, 0.32, 0.26, 210, 440), *arc(0.32, 0.74, 0.36, 0.26, 280, 510)]],
    "4": [[(0.42, 0.0), (0.02, 0.62), (0.7, 0.6)], [(0.5, 0.35), (0.46, 1.0)]],
    "5": [[(0.12, 0.02), (0.08, 0.45), *arc(0.3, 0.68, 0.36, 0.31, 230, 500)], [(0.12, 0.03), (0.64, 0.0)]],
    "7": [[(0.02, 0.04), (0.66, 0.0), (0.25, 1.0)]],
}


def ink(digit: str, left: float, top: float, height: float, pen: float) -> Levels:
    """How much ink there is, 0 to 1."""
    image = Image.new("L", (WIDTH * FINE, HEIGHT * FINE))
    drawing, radius = ImageDraw.Draw(image), pen * FINE / 2
    for stroke in DIGITS[digit]:
        points = [(FINE * (left + height * x), FINE * (top + height * y)) for x, y in stroke]
        drawing.line(points, 255, round(pen * FINE), joint="curve")
        for x, y in points:
            drawing.ellipse((x - radius, y - radius, x + radius, y + radius), 255)
    return np.asarray(image.reduce(FINE), np.float64) / 255


def row(digits: str, left: float, step: float, height: float, pen: float) -> Levels:
    """Digits beside each other, somewhat up and down."""
    return np.max([ink(d, left + step * i, 45 + 6 * (i % 2), height, pen) for i, d in enumerate(digits)], axis=0)


def paper() -> Levels:
    """A little brighter at the left."""
    return np.broadcast_to(np.linspace(232, 214, WIDTH), (HEIGHT, WIDTH)).copy()


def shadow() -> Levels:
    """A soft edge across the paper."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return paper() * (1 - 0.4 / (1 + np.exp((x - 0.7 * y - 70) / 6)))


def lined() -> Levels:
    """A line every 22 pixels."""
    ground = paper()
    ground[15::22] *= 0.86
    return ground


def frame() -> Levels:
    """Ink of a frame around the middle of the page."""
    image = Image.new("L", (WIDTH, HEIGHT))
    ImageDraw.Draw(image).rectangle((40, 15, 160, 135), outline=255, width=4)
    return np.asarray(image, np.float64) / 255


def shown(ink: Levels, ground: Levels, darkness: float = 0.75) -> Image.Image:
    """A photo of it: dark ink, a soft lens, some noise."""
    noise = np.random.default_rng(0).normal(0, 1, ink.shape)
    levels = (ground * (1 - darkness * ink) + noise).clip(0, 255).astype(np.uint8)
    return Image.fromarray(levels).filter(ImageFilter.GaussianBlur(0.6))


EXAMPLES: dict[str, Callable[[], Image.Image]] = {
    "right-pen": lambda: shown(ink("5", 65, 25, 100, 8), paper()),
    "right-small": lambda: shown(ink("3", 120, 70, 45, 5), paper()),
    "right-shadow": lambda: shown(ink("2", 65, 25, 100, 8), shadow()),
    "right-lined": lambda: shown(ink("7", 65, 25, 100, 8), lined()),
    "right-row": lambda: shown(row("25347", 12, 36, 40, 4), paper()),
    "wrong-touching": lambda: shown(row("25347", 30, 27, 44, 4), paper()),
    "wrong-cut": lambda: shown(ink("5", 65, -45, 100, 8), paper()),
    "wrong-frame": lambda: shown(np.maximum(ink("5", 77, 38, 70, 6), frame()), paper()),
    "wrong-faint": lambda: shown(ink("7", 65, 25, 100, 1), lined(), 0.12),
    "wrong-two": lambda: shown(row("42", 40, 70, 70, 7), paper()),
}


def main() -> None:
    """Write the pictures and print the answers."""
    FOLDER.mkdir(exist_ok=True)
    classifier = Classifier("mnist")
    for name, make in EXAMPLES.items():
        image, path = make(), FOLDER / f"{name}.png"
        image.quantize(LEVELS).save(path, optimize=True)
        found, digits = classifier.predict(path), classifier.split(path)
        answer = f"{found.label} with {found.probability:.1%}" if found.known else "none of these"
        named = " ".join(digit.label if digit.known else "?" for digit in digits)
        sys.stdout.write(f"{name}: {answer}; --split: {named}\n")


if __name__ == "__main__":
    main()
