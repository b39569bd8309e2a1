"""Ways to tell ink from photographed paper, side by side: how many digits are read right, by what is in the way.

    pip install -e ".[train]" -r benchmarks/thresholding.txt
    python benchmarks/thresholding.py MODEL
    python benchmarks/thresholding.py MODEL --choosing               # what the constants below were chosen on
    python benchmarks/thresholding.py MODEL --pictures labels.csv    # other people's: columns file, label, source

scikit-image's Otsu, Sauvola and adaptive mean, SciPy's median as a background to divide by, and what the package does.
Everything before (strips cut off, noise averaged, polarity) and after (size, place, strokes) is the same for all.
"""

import argparse
import csv
import shlex
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from unittest import mock

import numpy as np
from drawings import Sketch, validation_sketches
from numpy.typing import NDArray
from photos import KINDS
from PIL import Image, ImageOps
from scipy import ndimage
from skimage.filters import threshold_local, threshold_otsu, threshold_sauvola
from skimage.measure import label

from lenet_edge.evaluation.statistics import mcnemar_exact, wilson_interval
from lenet_edge_runtime import Classifier, fitting
from lenet_edge_runtime.images import read_image

Page = NDArray[np.uint8]  # dark ink on light paper, [height, width]
Ink = NDArray[np.float32]  # 0 to 1
Method = Callable[[Page], Ink]
Methods = dict[str, Method | None]  # None: the package's own
Pictures = list[tuple[Image.Image, str]]  # with the digit on each
Answers = NDArray[np.bool_]  # whether each picture was read right

SPECK = 0.1  # of the largest part's pixels: smaller parts of a thresholded page are none
PACKAGES = ("lenet-edge", "scikit-image", "scipy", "numpy", "pillow", "onnxruntime")


def otsu(page: Page) -> Ink:
    """One level for the whole page (Otsu 1979)."""
    return _parts(page <= threshold_otsu(page))


def sauvola(page: Page, part: float, k: float) -> Ink:
    """A level for each pixel by mean and deviation around it (Sauvola & Pietikainen 2000)."""
    return _parts(page < threshold_sauvola(page, _window(page, part), k))


def adaptive_mean(page: Page, part: float, offset: float) -> Ink:
    """A level for each pixel: the mean around it, less an offset in grey levels."""
    return _parts(page < threshold_local(page, _window(page, part), "mean", offset))


def division(page: Page, part: float) -> Ink:
    """What the page is less than the median around it, as a share of that; of a page in an eighth of the size."""
    small = Image.fromarray(page).reduce(8)
    ground = ndimage.median_filter(np.asarray(small), _window(page, part) // 8, mode="nearest")
    ground = np.asarray(Image.fromarray(ground).resize(page.shape[::-1], Image.Resampling.BILINEAR))
    above = 255 * (1 - page / np.maximum(ground, 1.0))
    return _ink_of_levels(above.clip(0, 255).astype(np.uint8))


def border(page: Page) -> Ink:
    """What the page is less than the median of its border: nothing is done about the light."""
    return _ink_of_levels(255 - page)


def _ink_of_levels(light: Page) -> Ink:
    """Ink as the package takes it from an even ground."""
    with mock.patch.object(fitting, "is_uneven", return_value=False):
        return TODAY(Image.fromarray(light), was_inverted=True)


def _window(page: Page, part: float) -> int:
    return 2 * round(min(page.shape) * part / 2) + 1


def _parts(mask: NDArray[np.bool_]) -> Ink:
    """The mask without its specks."""
    labels = label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(sizes >= max(1, SPECK * sizes.max()))[labels].astype(np.float32)


TODAY = fitting.ink_of
# Chosen by --choosing: the most of 50 photos of each kind, of other validation digits than the table's.
SAUVOLA, ADAPTIVE, DIVISION = (0.25, 0.3), (1, 40), 0.25
METHODS: Methods = {
    "opening (the package's)": None,
    "nothing": border,
    "Otsu": otsu,
    "Sauvola": partial(sauvola, part=SAUVOLA[0], k=SAUVOLA[1]),
    "adaptive mean": partial(adaptive_mean, part=ADAPTIVE[0], offset=ADAPTIVE[1]),
    "background division": partial(division, part=DIVISION),
}


def choices() -> Methods:
    """The constants that --choosing tries."""
    found: Methods = {"opening (the package's)": None}
    for part, k in product((1 / 8, 1 / 4, 1 / 2, 1), (0.05, 0.1, 0.2, 0.3)):
        found[f"Sauvola {part} {k}"] = partial(sauvola, part=part, k=k)
    for part, offset in product((1 / 8, 1 / 4, 1 / 2, 1), (8, 15, 25, 40)):
        found[f"adaptive mean {part} {offset}"] = partial(adaptive_mean, part=part, offset=offset)
    for part in (1 / 4, 1 / 3, 1 / 2, 3 / 4):
        found[f"background division {part:.2f}"] = partial(division, part=part)
    return found


def right(classifier: Classifier, pictures: Pictures, methods: Methods) -> dict[str, Answers]:
    """Whether each picture is read right with each method; small pictures are fitted as ever."""
    spec, digits = classifier.spec, np.array([digit for _, digit in pictures])
    pages = [fitting.page_of(read_image(picture, 1)).image for picture, _ in pictures]
    dark_ink = [fitting.is_inverted(page, spec, "auto") for page in pages]
    found = {}
    for name, method in methods.items():

        def ink_of(image: Image.Image, was_inverted: bool, method: Method | None = method) -> Ink:
            if method is None or min(image.size) < fitting.PHOTO:
                return TODAY(image, was_inverted)
            return method(255 - np.asarray(image))

        with mock.patch.object(fitting, "ink_of", ink_of):
            pixels = [
                fitting.fit_polarised(ImageOps.invert(page) if is_dark else page, spec, "auto", is_dark).pixels
                for page, is_dark in zip(pages, dark_ink, strict=True)
            ]
        found[name] = np.array(spec.labels)[classifier.logits(np.stack(pixels)).argmax(1)] == digits
    return found


def photographed(chosen: list[Sketch], seed: int, kinds: list[str]) -> Iterator[tuple[str, Pictures]]:
    """Each of these kinds of photo, or every kind, with its pictures."""
    for number, (name, make) in enumerate(KINDS.items()):
        if not kinds or name in kinds:
            generator = np.random.default_rng((seed, number))
            yield name, [(make(sketch, generator), str(sketch.label)) for sketch in chosen]


def listed(path: Path) -> Iterator[tuple[str, Pictures]]:
    """The pictures of a list by their source."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for source in dict.fromkeys(row["source"] for row in rows):
        mine = [row for row in rows if row["source"] == source]
        yield source, [(Image.open(path.parent / row["file"]), row["label"]) for row in mine]


def cell(answers: Answers, ours: Answers) -> str:
    """Share and interval, with a mark where the package does better or worse beyond chance (McNemar, p < 0.001)."""
    low, high = wilson_interval(int(answers.sum()), len(answers))
    lost, gained = int((ours & ~answers).sum()), int((answers & ~ours).sum())
    mark = " ±"[mcnemar_exact(lost, gained) < 0.001] if lost != gained else " "
    mark = mark.replace("±", "+" if gained > lost else "-")
    return f"{answers.mean():.1%}{mark.rstrip()} ({low:.1%} to {high:.1%})"


def main() -> None:
    """Print the table as Markdown: a row a kind, a column a method."""
    parser = argparse.ArgumentParser(description="Ways to tell ink from photographed paper, read by an exported file.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--count", type=int, default=500, help="photos of each kind")
    parser.add_argument("--choosing", action="store_true", help="try the methods' constants, on other digits")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, metavar="KIND", help="photos of these kinds alone")
    parser.add_argument("--pictures", type=Path, help="a list of pictures: file,label,source")
    arguments = parser.parse_args()
    classifier = Classifier(arguments.model)
    methods = choices() if arguments.choosing else METHODS
    if arguments.pictures:
        kinds = listed(arguments.pictures)
    else:
        first, count = (1000, 50) if arguments.choosing else (0, arguments.count)
        chosen = validation_sketches(arguments.data_dir, first + count)[first:]
        kinds = photographed(chosen, first, arguments.kinds or [])
    print(f"| {'pictures' if arguments.pictures else 'photos with'} | {' | '.join(methods)} |")
    print("| --- |" + " ---: |" * len(methods))
    for name, pictures in kinds:
        print(row(f"{name} ({len(pictures)})", right(classifier, pictures, methods)), flush=True)
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    print(f"\n{versions}. Command: `python {shlex.join(sys.argv)}`")


def row(name: str, answers: dict[str, Answers]) -> str:
    """One row; the first method is what the others are compared with."""
    ours = next(iter(answers.values()))
    return f"| {name} | " + " | ".join(cell(item, ours) for item in answers.values()) + " |"


if __name__ == "__main__":
    main()
