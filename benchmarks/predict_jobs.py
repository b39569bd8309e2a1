"""How much faster `lenet-edge predict --jobs N` is than one process, on a folder of PNG files. Needs no torch.

    python benchmarks/predict_jobs.py MODEL [IMAGES] [REPEATS] [JOBS]

The contenders take turns; start-up is counted in, so that few images show a smaller ratio. The answers of all of them
are compared byte by byte. It means something on cores that nothing else uses: the load is printed, and beside the time
on the clock the processor time that all processes took together, which a busy machine moves less.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lenet_edge_runtime.host import describe_host
from startup import processor_seconds
from throughput import write_images


def main(model: Path, count: int, repeats: int, jobs: int) -> None:
    """Print images a second with one process and with `jobs`, and the ratio within each repeat."""
    host = describe_host()  # before the load of this very measurement
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "images")
        folder.mkdir()
        write_images(folder, model, count, (28, 28))
        rates: dict[int, list[float]] = {1: [], jobs: []}
        taken: dict[int, list[float]] = {1: [], jobs: []}
        for _ in range(repeats):
            for number, found in rates.items():
                start, used = time.perf_counter(), processor_seconds()
                answer(model, folder, Path(place, f"{number}.csv"), number)
                found.append(count / (time.perf_counter() - start))
                taken[number].append(processor_seconds() - used)
        answers = {Path(place, f"{number}.csv").read_bytes() for number in rates}
    assert len(answers) == 1
    assert answers.pop().count(b"\n") == count + 1
    print(f"| {count:,} PNG files of 28 x 28 | images a second, median of {repeats} | range | processor seconds |")
    print("|---|---:|---:|---:|")
    for number, found in rates.items():
        cells = (f"{statistics.median(found):,.0f}", f"{min(found):,.0f} to {max(found):,.0f}")
        print(f"| `--jobs {number}` |", " | ".join(cells), f"| {statistics.median(taken[number]):.1f} |")
    faster = [many / one for one, many in zip(rates[1], rates[jobs], strict=True)]
    dearer = [many / one for one, many in zip(taken[1], taken[jobs], strict=True)]
    print(f"| ratio | {statistics.median(faster):.2f} | {min(faster):.2f} to {max(faster):.2f} |", end="")
    print(f" {statistics.median(dearer):.2f} |")
    print(f"{host['cpu']}, {host['cores']} cores, load {host['load_1min']}, {host['versions']}")


def answer(model: Path, folder: Path, out: Path, jobs: int) -> None:
    """One call of the program."""
    command = [sys.executable, "-m", "lenet_edge", "predict", model, folder, "--jobs", str(jobs), "--out", out]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    defaults = ["20000", "5", str(len(os.sched_getaffinity(0)))]
    main(Path(sys.argv[1]), *(int(value) for value in (sys.argv[2:] + defaults[len(sys.argv) - 2 :])))
