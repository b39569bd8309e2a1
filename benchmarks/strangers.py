"""What a file refuses: test images that show its classes, and images that show none of them.

    python benchmarks/strangers.py MODEL

Beside the test images stand KMNIST and Fashion-MNIST where they are at hand, and what is made here. `train --strangers`
makes its own of training images; the kinds marked as unseen are none of those (lenet_edge/data/strangers.py).
"""

import argparse
import shlex
import sys
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from sklearn import metrics

from lenet_edge.data.datasets import load_dataset
from lenet_edge.evaluation.statistics import wilson_interval
from lenet_edge_runtime import Classifier, LenetEdgeError
from lenet_edge_runtime.answers import log_sum_exp

UPENDED = (4, 7)  # digits: upside down and mirrored, a 3 stays one, and a 2 and a 5 look like each other
UNSEEN = {"stripes", "letters", "two digits over each other", "digits on their head", "fashion-mnist", "kmnist"}
LETTERS = "AEFHKMNPRTWX"
Pixels = NDArray[np.uint8]


def made(
    pixels: Pixels, labels: NDArray[np.int64], handed: tuple[int, ...], generator: np.random.Generator
) -> dict[str, Pixels]:
    """Strangers made of test images uint8 [n, 1, h, w], by name; turned ones only where classes are none once mirrored.

    `handed`: those classes; some look like another then.
    """
    shape = pixels.shape
    others = pixels[generator.permutation(len(pixels))]
    narrow = np.stack(
        [np.asarray(Image.fromarray(image).resize((14, 28), Image.Resampling.BOX)) for image in pixels[:, 0]]
    )
    beside = np.concatenate([narrow, narrow[generator.permutation(len(narrow))]], 2)[:, None]
    turned = {
        "mirrored digits": pixels[np.isin(labels, handed)][:, :, :, ::-1],
        "digits on their head": pixels[np.isin(labels, UPENDED)][:, :, ::-1],
    }
    return {
        "blank": np.zeros((1, *shape[1:]), np.uint8),
        "white": np.full((1, *shape[1:]), 255, np.uint8),
        "uniform noise": generator.integers(0, 256, shape, np.uint8),
        "salt noise": (255 * (generator.random(shape) < 0.1)).astype(np.uint8),
        "stripes": _stripes(shape, generator),
        "letters": _letters(shape, generator),
        "digits inverted": 255 - pixels,
        "two digits side by side": beside,
        "two digits over each other": np.maximum(pixels, others),
        **(turned if handed else {}),
    }


def _stripes(shape: tuple[int, ...], generator: np.random.Generator) -> Pixels:
    place = np.add.outer(np.arange(shape[2]), np.zeros(shape[3]))
    waves = [np.sin(place / generator.uniform(0.5, 3) + generator.uniform(0, 6)) > 0 for _ in range(shape[0])]
    return (255 * np.stack([wave.T if i % 2 else wave for i, wave in enumerate(waves)])[:, None]).astype(np.uint8)


def _letters(shape: tuple[int, ...], generator: np.random.Generator) -> Pixels:
    """White on black, in matplotlib's DejaVu Sans, as large as MNIST's digits."""
    made = []
    for letter in generator.choice(list(LETTERS), shape[0]):
        image = Image.new("L", (shape[3], shape[2]))
        size, place = generator.integers(22, 27), tuple(generator.integers(13, 16, 2))
        font = ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", int(size))
        ImageDraw.Draw(image).text(place, str(letter), 255, font, "mm")
        made.append(np.asarray(image))
    return np.stack(made)[:, None]


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description="What a file refuses, as a Markdown table.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--count", type=int, default=2000, help="images of each kind")
    arguments = parser.parse_args()
    classifier, data = Classifier(arguments.model), load_dataset(arguments.dataset, arguments.data_dir)
    generator = np.random.default_rng(0)
    chosen = generator.permutation(len(data.test_pixels))[: arguments.count]
    handed = data.augmentation.strange_mirrored
    kinds = made(data.test_pixels[chosen], data.test_labels[chosen], handed, generator)
    for name in ("fashion-mnist", "kmnist", "mnist"):
        if name != arguments.dataset:
            try:
                kinds[name] = load_dataset(name, arguments.data_dir).test_pixels[: arguments.count]
            except LenetEdgeError as error:
                print(f"left out: {error}", file=sys.stderr)
    familiar = log_sum_exp(classifier.logits(data.test_pixels))
    assert classifier.spec.threshold is not None
    print("| images | n | refused | 95 % interval | AUROC |\n| --- | ---: | ---: | ---: | ---: |")
    for name, pixels in {"its test images": data.test_pixels, **kinds}.items():
        scores = log_sum_exp(classifier.logits(pixels))
        refused = int((scores < classifier.spec.threshold).sum())
        low, high = wilson_interval(refused, len(scores))
        truth = np.repeat([1, 0], [len(familiar), len(scores)])
        auroc = metrics.roc_auc_score(truth, np.concatenate([familiar, scores]))
        share = f"{refused / len(scores):.1%} | {low:.1%} to {high:.1%}"
        unseen = " (unseen)" if name in UNSEEN else ""
        print(f"| {name}{unseen} | {len(scores):,} | {share} | {auroc:.4f} |")
    print(f"\n{len(familiar):,} test images against each. Command: `python {shlex.join(sys.argv)}`")


if __name__ == "__main__":
    main()
