"""Whether `lenet-edge predict` answers every image of a large folder, in memory that does not grow. Needs no torch.

    python benchmarks/predict_many.py MODEL COUNT... [-- OPTION...]

Makes folders of so many PNG files of 28 x 28, hard links to 64 different ones, every 1,009th to one that is none, and
calls `predict` on each with the options (`--jobs 2` where none are given). Every line is compared with the class that
its source has when it is answered alone. Peaks of resident memory are the kernel's, of the process that was called, and
of the largest that it started.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lenet_edge_runtime import Classifier
from lenet_edge_runtime.host import describe_host
from throughput import write_images

DIFFERENT, NONE_EVERY, FOLDER = 64, 1009, 1000
SHARDS = 10  # files of answers; of at least 256 images
PROGRAM = """
import resource, sys
from lenet_edge.cli import main
try:
    main()
finally:
    found = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(*found, file=sys.stderr)
"""
# Between this process, whose size a child begins with, and the program.
SMALL = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"


def main(model: Path, counts: list[int], options: list[str]) -> None:
    """Print a row for each count."""
    host = describe_host()  # before the load of this very measurement
    print("| images | none of them | seconds | images a second | peak of the process | of the largest it started |")
    print("|---:|---:|---:|---:|---:|---:|")
    for count in counts:
        with tempfile.TemporaryDirectory(dir=".") as place:
            seconds, kilobytes = answer(model, make(Path(place), model, count), count, options)
        cells = (f"{count:,}", f"{count // NONE_EVERY:,}", f"{seconds:.0f}", f"{count / seconds:,.0f}")
        print("|", " | ".join((*cells, *(f"{number / 1024:.0f} MiB" for number in kilobytes))), "|", flush=True)
    print(f"`{' '.join(options)}`; {host['cpu']}, {host['cores']} cores, load {host['load_1min']}, {host['versions']}")


def make(place: Path, model: Path, count: int) -> Path:
    """The folder, of folders of a thousand."""
    sources, images = place / "sources", place / "images"
    sources.mkdir()
    write_images(sources, model, DIFFERENT, (28, 28))
    (sources / "none.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for number in range(count):
        if number % FOLDER == 0:
            (images / f"{number // FOLDER:05}").mkdir(parents=True)
        name = "none" if is_none(number) else f"{number % DIFFERENT:06}"
        os.link(sources / f"{name}.png", images / f"{number // FOLDER:05}" / f"{number:08}.png")
    return images


def is_none(number: int) -> bool:
    """Whether this file of the folder is no image."""
    return number % NONE_EVERY == NONE_EVERY - 1


def answer(model: Path, images: Path, count: int, options: list[str]) -> tuple[float, list[int]]:
    """Seconds, and the peaks of memory in kilobytes, of one call whose answers are all right."""
    out = images.with_name("answers")
    out.mkdir()
    command = [sys.executable, "-c", SMALL, sys.executable, "-c", PROGRAM, "predict", model, images, *options]
    start = time.perf_counter()
    shard = max(256, -(-count // SHARDS))
    done = subprocess.run(
        [*command, "--shard", str(shard), "--out", out / "a.csv"], stderr=subprocess.PIPE, text=True, check=False
    )
    seconds = time.perf_counter() - start
    *_, said, peaks = done.stderr.splitlines()
    failed = count // NONE_EVERY
    assert done.returncode == (1 if failed else 0), done.stderr[-2000:]
    assert not failed or said == f"{failed:,} of {count:,} files could not be read", said
    check(model, images, count, sorted(out.glob("*.csv")))
    return seconds, [int(number) for number in peaks.split()]


def check(model: Path, images: Path, count: int, files: list[Path]) -> None:
    """Fail where a line is missing, stands twice, or is not the answer of its image."""
    classifier, sources = Classifier(model), images.with_name("sources")
    expected = [str(classifier.predict(sources / f"{number:06}.png").index) for number in range(DIFFERENT)]
    numbers = (number for number in range(count) if not is_none(number))
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines()[1:]:
            path, _, index, *_ = line.split(",")
            number = next(numbers)
            assert path == str(images / f"{number // FOLDER:05}" / f"{number:08}.png")
            assert index == expected[number % DIFFERENT]
    assert next(numbers, None) is None


if __name__ == "__main__":
    words, _, given = " ".join(sys.argv[1:]).partition(" -- ")
    first, *rest = words.split()
    main(Path(first), [int(word) for word in rest], given.split() or ["--jobs", "2"])
