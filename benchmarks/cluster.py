"""A study by one process, by two, and by one and two workers of a Dask cluster on this machine; what 100 would do.

python benchmarks/cluster.py                             # 8 trainings of scikit-learn's digits, 3 rounds
python benchmarks/cluster.py --dataset mnist --epochs 2 --seeds 4
"""

import argparse
import json
import os
import pickle
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lenet_edge.runs.run import Run
from lenet_edge.studies.cluster import TASK_SECONDS
from lenet_edge.studies.cluster_task import files_of, keep
from lenet_edge_runtime.host import describe_host

WAYS = {"one process": 1, "two processes": 2, "one worker": 1, "two workers": 2}
MANY = 100
REPEATS = 50


def main() -> None:
    """Print the table, and what was computed from it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    words = [
        *("compare", "lenet5", "--dataset", given.dataset, "--epochs", str(given.epochs)),
        *("--seeds", str(given.seeds), "--device", "cpu", "--json"),
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        starts: list[float] = []
        again: float | None = None  # the command with nothing to train
        for number in range(given.rounds):
            for way, count in WAYS.items():
                out = folder / f"{way}-{number}"
                options = ["--threads", "1"] if "worker" in way else ["--jobs", str(count), "--threads", str(count)]
                if "worker" in way:
                    with cluster(folder, count) as (address, start):
                        starts.append(start)
                        seconds[way].append(timed([*words, *options, "--scheduler", address, "--out", str(out)]))
                else:
                    seconds[way].append(timed([*words, *options, "--out", str(out)]))
                again = again or timed([*words, *options, "--out", str(out)])
            run = Run(folder / "one process-0" / "runs" / f"lenet5-{given.dataset}-seed0")
            assert len({run_weights(folder / f"{way}-0") for way in WAYS}) == 1, "the ways gave other weights"
            show(seconds, starts, again or 0.0, run, given)


def show(seconds: dict[str, list[float]], starts: list[float], again: float, run: Run, given: Any) -> None:
    """The table after so many rounds, and the estimate."""
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    alone = medians["one process"]
    print("| | seconds, median (least to greatest) | of one process |\n| --- | ---: | ---: |")
    for way, values in seconds.items():
        print(f"| {way} | {medians[way]:.1f} ({min(values):.1f} to {max(values):.1f}) | {medians[way] / alone:.2f} |")
    handling, size = handled(run)
    tasks = max(1, min(given.epochs, round(float(run.read().metrics["seconds"]) / TASK_SECONDS)))
    here, there = ((medians[way] - again) / given.seeds for way in ("one process", "one worker"))
    # A worker that trains for the first time imports what the command imports.
    by_worker = 2 * again + there + tasks * handling
    by_client = again + MANY * tasks * handling
    host = describe_host(("lenet-edge", "torch", "distributed"))
    print(
        f"\nn = {len(seconds['one process'])} in turns, {given.seeds} trainings of {given.epochs} epochs on "
        f"{given.dataset}; {host['cores']} cores of {host['cpu']}, load {host['load_1min']}; {host['versions']}\n"
        f"a scheduler and its workers: {statistics.median(starts):.1f} s until they are there; the command with "
        f"nothing to train: {again:.1f} s; a training: {here:.1f} s here, {there:.1f} s on a worker, in about "
        f"{tasks} tasks; an answer: {size / 1e6:.2f} MB, {1000 * handling:.0f} ms of the client (median of {REPEATS})\n"
        f"computed, not measured: {MANY} trainings on {MANY} such workers {max(by_worker, by_client):.0f} s "
        f"({by_worker:.0f} by the workers, {by_client:.0f} by the client), in one process {again + MANY * here:.0f} s\n"
        f"Command: `python {shlex.join(sys.argv)}`\n"
    )


def handled(run: Run) -> tuple[float, int]:
    """Seconds that the client takes to write an answer down, and its bytes."""
    files = files_of(run)
    # Amid a training: weights, their average and their momentum.
    files[run.checkpoint_path.name] = 3 * files[run.weights_path.name]
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        keep(run, pickle.loads(pickle.dumps(files)))
        times.append(time.perf_counter() - start)
    return statistics.median(times), sum(map(len, files.values()))


def timed(words: list[str]) -> float:
    """Seconds of wall clock from Enter to prompt."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "lenet_edge", *words], capture_output=True, text=True, check=False, timeout=3600
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["runs"]) > 0
    seconds = time.perf_counter() - start
    print(f"{seconds:.1f} s: {shlex.join(words)}", file=sys.stderr, flush=True)
    return seconds


def run_weights(study: Path) -> tuple[bytes, ...]:
    """Of all members."""
    return tuple(path.read_bytes() for path in sorted(study.glob("runs/*/weights.safetensors")))


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[tuple[str, float]]:
    """A scheduler and workers of one thread each: their address, and seconds until they are there."""
    from distributed import Client

    start = time.perf_counter()
    place = folder / f"scheduler-{time.monotonic_ns()}.json"
    scheduler = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(place)]
    worker = ["worker", "--scheduler-file", str(place), "--nthreads", "1", "--no-dashboard", "--no-nanny"]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    processes = [
        subprocess.Popen([sys.executable, "-m", "dask", *words], **quiet) for words in [scheduler, *[worker] * workers]
    ]
    try:
        while not place.is_file():
            time.sleep(0.02)
        with Client(scheduler_file=str(place)) as client:
            client.wait_for_workers(workers)
            address = client.scheduler.address
        yield address, time.perf_counter() - start
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
