"""Rows of digits cut into digits: how often their number is right, and how often every digit is.

    python benchmarks/splitting.py MODEL
    python benchmarks/splitting.py MODEL --choosing     # of validation digits: what the constants were chosen on

Pictures of 2 to 6 digits of MNIST's test images: their pixels, enlarged, and their skeletons (`drawings.py`) drawn with
pens. Neighbours may overhang each other; but for the last kind their ink keeps a twentieth of a digit's height apart.
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from drawings import COLOURS, Sketch, sketches
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from lenet_edge.data.datasets import load_dataset
from lenet_edge.data.image_data import VALIDATION_SHARE, split_indices
from lenet_edge.evaluation.statistics import wilson_interval
from lenet_edge_runtime import Classifier

DIGITS = range(2, 7)
APART = 0.05  # of a digit's height that ink is from ink
GAP = (-0.1, 0.5)  # of it from box to box
CLOSE = (-0.15, 0.1)  # the same where ink may touch
Ink = NDArray[np.float64]  # [height, width], 0 to 1


@dataclass(frozen=True)
class Digit:
    """One digit of MNIST, as it is and as lines."""

    pixels: NDArray[np.uint8]  # [28, 28]
    sketch: Sketch


def enlarged(digit: Digit, height: float, _pen: float) -> Ink:
    """Its pixels, so high."""
    image = Image.fromarray(digit.pixels).crop(Image.fromarray(digit.pixels).getbbox())
    width = max(1, round(image.width * height / image.height))
    return np.asarray(image.resize((width, round(height)), Image.Resampling.BICUBIC)) / 255


def drawn(digit: Digit, height: float, pen: float) -> Ink:
    """Its skeleton, so high, by a pen so wide."""
    lines = digit.sketch.lines
    extent = np.ptp(lines.reshape(-1, 2), axis=0)
    lines = (lines - lines.min((0, 1))) * (height / max(extent[1], 0.3))
    width, top = lines.reshape(-1, 2).max(axis=0)
    size = (2 * round(width + 2 * pen), 2 * round(top + 2 * pen))
    image = Image.new("L", size)
    drawing = ImageDraw.Draw(image)
    for line in 2 * (lines + pen):
        drawing.line([tuple(point) for point in line], 255, max(1, round(2 * pen)))
        for x, y in line:
            drawing.ellipse((x - pen, y - pen, x + pen, y + pen), 255)
    return np.asarray(image.crop(image.getbbox()).reduce(2)) / 255


def row(digits: Sequence[Ink], height: float, may_touch: bool, generator: np.random.Generator) -> Ink:
    """The digits beside each other on one line, somewhat up and down, with a margin."""
    margin = round(height * generator.uniform(0.2, 0.8))
    deep = round(max(len(digit) for digit in digits) + 0.3 * height)
    page = np.zeros((deep + 2 * margin, round(sum(digit.shape[1] + height for digit in digits)) + 2 * margin))
    end = margin
    for number, digit in enumerate(digits):
        top = margin + round(generator.uniform(0, deep - len(digit)))
        left = end + (round(height * generator.uniform(*(CLOSE if may_touch else GAP))) if number else 0)
        while number and not may_touch and _touches(page, digit, top, max(0, left), round(APART * height) + 1):
            left += 1
        left = max(0, left)
        place = page[top : top + len(digit), left : left + digit.shape[1]]
        np.maximum(place, digit, out=place)
        end = left + digit.shape[1]
    return page[:, : end + margin]


def _touches(page: Ink, digit: Ink, top: int, left: int, reach: int) -> bool:
    around = page[max(0, top - reach) : top + len(digit) + reach, max(0, left - reach) : left + digit.shape[1] + reach]
    if not around.any():
        return False
    mask = np.pad(digit > 0.1, ((min(top, reach), reach), (min(left, reach), reach)))
    wide = np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(2 * reach + 1))) > 0
    return bool((wide[: around.shape[0], : around.shape[1]] & (around > 0.1)).any())


def coloured(ink: Ink, generator: np.random.Generator) -> Image.Image:
    """In the colours of `drawings.py`."""
    ground, colour = COLOURS[generator.integers(len(COLOURS))]
    return Image.composite(
        Image.new("RGB", ink.shape[::-1], colour),
        Image.new("RGB", ink.shape[::-1], ground),
        Image.fromarray(np.rint(255 * ink.clip(0, 1)).astype(np.uint8)),
    )


def photographed(ink: Ink, generator: np.random.Generator) -> Image.Image:
    """Dark ink on paper in slanting light, blurred a little, with noise."""
    light = np.add.outer(*(np.linspace(-1, 1, side) * generator.uniform(-15, 15) for side in ink.shape))
    levels = (200 + light) * (1 - ink * generator.uniform(0.55, 0.85))
    image = Image.fromarray(levels.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))
    noisy = np.asarray(image, np.float64) + generator.normal(0, 5, ink.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


@dataclass(frozen=True)
class Kind:
    """How pictures of a row of the table are made."""

    draw: Callable[[Digit, float, float], Ink]  # a digit, its height, the pen's width
    show: Callable[[Ink, np.random.Generator], Image.Image]
    lines: int = 1
    may_touch: bool = False


KINDS = {
    "MNIST's pixels": Kind(enlarged, coloured),
    "drawn with pens": Kind(drawn, coloured),
    "drawn, photographed": Kind(drawn, photographed),
    "drawn, two lines": Kind(drawn, coloured, lines=2),
    "drawn so close that some touch": Kind(drawn, coloured, may_touch=True),
}


def picture(digits: Sequence[Digit], kind: Kind, generator: np.random.Generator) -> Image.Image:
    """Rows of these digits, as many to a line as to the next."""
    height = generator.uniform(20, 40) if kind.draw is enlarged else generator.uniform(40, 160)
    pen = height * generator.uniform(0.03, 0.12)
    rows = []
    for part in np.array_split(np.arange(len(digits)), kind.lines):
        inks = [kind.draw(digits[i], height * generator.uniform(0.85, 1.15), pen) for i in part]
        rows.append(row(inks, height, kind.may_touch, generator))
    width = max(page.shape[1] for page in rows)
    return kind.show(np.concatenate([np.pad(page, ((0, 0), (0, width - page.shape[1]))) for page in rows]), generator)


def chosen_digits(data_dir: Path | None, count: int, choosing: bool) -> list[Digit]:
    """Of MNIST's test images, or of those that the default seed holds back from training."""
    data = load_dataset("mnist", data_dir)
    if choosing:
        _, held_out = split_indices(data.train_labels, VALIDATION_SHARE, 0)
        pixels, labels = data.train_pixels[held_out, 0], data.train_labels[held_out]
    else:
        pixels, labels = data.test_pixels[:, 0], data.test_labels
    some = np.random.default_rng(0).permutation(len(labels))[:count]
    drawn_ones = sketches(pixels[some], labels[some])
    return [Digit(image, sketch) for image, sketch in zip(pixels[some], drawn_ones, strict=True)]


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description="Rows of digits cut into digits, and read by an exported file.")
    parser.add_argument("model")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--count", type=int, default=500, help="pictures of each kind")
    parser.add_argument("--digits", type=int, default=1000, help="MNIST's images that they are made of")
    parser.add_argument("--choosing", action="store_true", help="of validation images, not of test images")
    parser.add_argument("--save", type=Path, help="a folder for the pictures that are read wrong")
    arguments = parser.parse_args()
    classifier = Classifier(arguments.model)
    digits = chosen_digits(arguments.data_dir, arguments.digits, arguments.choosing)
    print(
        "| pictures | right number | 95 % interval | every digit right | 95 % interval | digits right, of those split |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for number, (name, kind) in enumerate(KINDS.items()):
        generator = np.random.default_rng((0, number))
        counted = whole = hits = read = 0
        for trial in range(arguments.count):
            some = [digits[i] for i in generator.choice(len(digits), generator.choice(DIGITS))]
            image = picture(some, kind, generator)
            wanted = [str(digit.sketch.label) for digit in some]
            found = [item.label for item in classifier.split(image)]
            counted += len(found) == len(wanted)
            whole += found == wanted
            if len(found) == len(wanted):
                read += len(wanted)
                hits += sum(a == b for a, b in zip(found, wanted, strict=True))
            if arguments.save and found != wanted:
                image.save(arguments.save / f"{number}-{trial}-{''.join(wanted)}-{''.join(found)}.png")
        cells = [f"{times / arguments.count:.1%} | {_interval(times, arguments.count)}" for times in (counted, whole)]
        print(f"| {name} | {' | '.join(cells)} | {hits / read:.2%} |", flush=True)
    print(f"\n{arguments.count} pictures of each kind, seed 0. Command: `python {shlex.join(sys.argv)}`")


def _interval(times: int, n: int) -> str:
    return " to ".join(f"{end:.1%}" for end in wilson_interval(times, n))


if __name__ == "__main__":
    main()
