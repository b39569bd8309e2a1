"""Seconds to 98.5, 99.0, 99.3 and 99.5 % of MNIST's test images: `lenet-edge train lenet5-fast` beside the usual ways.

    python benchmarks/time_to_accuracy.py [--seeds 5] [--peer-seeds 1]
    python benchmarks/time_to_accuracy.py --device cuda --peer-seeds 0    # ours alone, on a GPU

Every training is a process of its own, from its start to its end; schedules of several lengths, each looked at once,
when it is over, so that nothing is chosen by test images. Trainings take turns in shuffled order.
"""

import argparse
import json
import os
import random
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lenet_edge_runtime.host import describe_host

OURS = "lenet-edge"
TARGETS = (0.985, 0.990, 0.993, 0.995)
HERE = Path(__file__).parent


class Schedule(NamedTuple):
    """A contender, and for how many epochs it trains."""

    contender: str
    epochs: int


SCHEDULES = (
    *(Schedule(OURS, epochs) for epochs in (1, 3, 10)),
    Schedule("pytorch/examples", 1),
    *(Schedule("Keras' mnist_convnet", epochs) for epochs in (1, 3)),
    *(Schedule("usual LeNet-5", epochs) for epochs in (1, 3)),
)


@dataclass(frozen=True)
class Result:
    """One training: the accuracy on the test images, the seconds of training alone, and of the whole process."""

    test_accuracy: float
    training: float
    in_all: float


def run(schedule: Schedule, seed: int, threads: int, device: str) -> Result:
    """Train once in a fresh process, which reads the data, trains, and tells the accuracy."""
    with tempfile.TemporaryDirectory() as folder:
        ours = ["-m", "lenet_edge", "train", "lenet5-fast", "--out", folder, "--json", "--epochs", schedule.epochs]
        ours += ["--seed", seed, "--threads", threads, "--device", device]
        theirs = [HERE / "usual_trainings.py", schedule.contender, schedule.epochs, seed, threads]
        command = [sys.executable, *map(str, ours if schedule.contender == OURS else theirs)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        start = time.perf_counter()
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
        in_all = time.perf_counter() - start
    said = json.loads(done.stdout)
    return Result(said["test_accuracy"], said["seconds"], in_all)


def in_turns(
    schedules: Sequence[Schedule], seeds: int, peer_seeds: int, threads: int, device: str
) -> dict[Schedule, list[Result]]:
    """All trainings, seed by seed, in shuffled order, after one that fills the system's cache."""
    shuffle = random.Random(0)
    results: dict[Schedule, list[Result]] = {item: [] for item in schedules if item.contender == OURS or peer_seeds}
    run(Schedule(OURS, 1), 0, threads, device)
    for seed in range(max(seeds, peer_seeds)):
        due = [item for item in schedules if seed < (seeds if item.contender == OURS else peer_seeds)]
        for schedule in shuffle.sample(due, len(due)):
            results[schedule].append(run(schedule, seed, threads, device))
            print(schedule, seed, results[schedule][-1], file=sys.stderr)
    return results


def first_to_reach(results: dict[Schedule, list[Result]], contender: str, target: float) -> Schedule | None:
    """The shortest of a contender's schedules whose mean accuracy is the target at least; None where none is."""
    reaching = [
        schedule
        for schedule, rows in results.items()
        if schedule.contender == contender and statistics.mean(row.test_accuracy for row in rows) >= target
    ]
    return min(reaching, key=lambda schedule: schedule.epochs, default=None)


def schedules_table(results: dict[Schedule, list[Result]]) -> list[str]:
    """A row a schedule: accuracy, mean and standard deviation; seconds, median and range."""
    lines = [
        "| | epochs | n | test accuracy | seconds of training | seconds in all |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for schedule, rows in results.items():
        accuracies = [100 * row.test_accuracy for row in rows]
        spread = f" ± {statistics.stdev(accuracies):.2f}" if len(rows) > 1 else ""
        lines.append(
            f"| {schedule.contender} | {schedule.epochs} | {len(rows)} | {statistics.mean(accuracies):.2f} %{spread} "
            f"| {_seconds([row.training for row in rows])} | {_seconds([row.in_all for row in rows])} |"
        )
    return lines


def targets_table(results: dict[Schedule, list[Result]]) -> list[str]:
    """A row a contender: median seconds of training and in all of the shortest schedule that reaches each target."""
    lines = [
        f"| seconds of training / in all, to | {' | '.join(f'{target:.1%}' for target in TARGETS)} |",
        f"| --- | {' | '.join('---:' for _ in TARGETS)} |",
    ]
    for contender in dict.fromkeys(schedule.contender for schedule in results):
        reached = [first_to_reach(results, contender, target) for target in TARGETS]
        cells = [_medians(results[schedule]) if schedule else "not reached" for schedule in reached]
        lines.append(f"| {contender} | {' | '.join(cells)} |")
    return lines


def _medians(rows: Sequence[Result]) -> str:
    return " / ".join(
        f"{statistics.median(values):.1f}" for values in ([row.training for row in rows], [row.in_all for row in rows])
    )


def _seconds(values: Sequence[float]) -> str:
    spread = f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else ""
    return f"{statistics.median(values):.1f}{spread}"


def main() -> None:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(description="Seconds to an accuracy on MNIST's test images, as Markdown tables.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--peer-seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="of lenet-edge's trainings; the others run on the CPU")
    arguments = parser.parse_args()
    host = describe_host(("lenet-edge", "torch", "torchvision"))
    results = in_turns(SCHEDULES, arguments.seeds, arguments.peer_seeds, arguments.threads, arguments.device)
    print("\n".join([*targets_table(results), "", *schedules_table(results)]))
    print(
        f"\nSeeds 0 to n - 1, {arguments.threads} threads, device {arguments.device}; seconds are medians (least to "
        f"greatest); {host['cpu']}, load {host['load_1min']} before, {host['versions']}. "
        f"Command: `python {shlex.join(sys.argv)}`"
    )


if __name__ == "__main__":
    main()
