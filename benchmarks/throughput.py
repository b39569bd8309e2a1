"""Images a minute of `lenet-edge predict` on a folder of small PNG files, on one core. Needs the base install alone.

    python benchmarks/throughput.py MODEL [IMAGES] [REPEATS]

The files are written from the model's own known answers, which are real images, with noise so that none is the same;
they are 28 x 28 in one folder and 100 x 140 in another, where each has to be fitted. Start-up is counted in.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from lenet_edge_runtime import Classifier
from lenet_edge_runtime.host import describe_host
from lenet_edge_runtime.proof import KNOWN_ANSWERS, KnownAnswers


def write_images(folder: Path, model: Path, count: int, size: tuple[int, int]) -> None:
    """`count` PNG files of this size, (width, height)."""
    pixels = KnownAnswers.from_json(Classifier(model).metadata[KNOWN_ANSWERS]).pixels[:, 0]
    generator = np.random.default_rng(0)
    for number in range(count):
        digit = pixels[number % len(pixels)]
        noisy = np.where(digit > 0, digit - np.minimum(digit, generator.integers(0, 9, digit.shape, np.uint8)), 0)
        image = Image.fromarray(noisy.astype(np.uint8))
        (image if size == image.size else image.resize(size)).save(folder / f"{number:06d}.png")


def main(model: Path, count: int, repeats: int) -> None:
    """Print images a minute: the median of the repeats, and their range."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(f"| {count:,} PNG files | images a minute, median of {repeats} | range |\n|---|---:|---:|")
    for size in ((28, 28), (100, 140)):
        with tempfile.TemporaryDirectory() as place:
            folder, out = Path(place, "images"), Path(place, "answers.csv")
            folder.mkdir()
            write_images(folder, model, count, size)
            command = [sys.executable, "-m", "lenet_edge", "predict", model, folder, "--out", out]
            rates = []
            for _ in range(repeats):
                start = time.perf_counter()
                subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
                rates.append(60 * count / (time.perf_counter() - start))
            assert len(out.read_text(encoding="utf-8").splitlines()) == count + 1
            print(f"| {size[0]} x {size[1]} | {np.median(rates):,.0f} | {min(rates):,.0f} to {max(rates):,.0f} |")
    host = describe_host()
    print(f"One core of {host['cpu']}, load {host['load_1min']}, {host['versions']}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(value) for value in (sys.argv[2:] + ["10000", "5"][len(sys.argv) - 2 :])))
