"""The tables of README and docs/results.md: accuracy and latency of every exported file of the given runs, in Markdown.

    python benchmarks/tables.py runs/lenet5-mnist-1 runs/lenet5-fashion-mnist-1

How the latency is measured: docs/measure.md.
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from lenet_edge.bench.measuring import BenchPlan, BenchRow, bench, describe_bench_host, timeable
from lenet_edge.bench.tables import int8_beside_float32
from lenet_edge.console import kilobytes, percent
from lenet_edge.evaluation.comparison import Verdict
from lenet_edge.evaluation.run_verification import Verification, verify
from lenet_edge.runs.exported import exported_files
from lenet_edge.runs.finding import find_run
from lenet_edge.runs.opened import OpenedRun

TIMED_IMAGES = 1000  # of the test set; the first is the one that is timed, all of them are compared afterwards
COLUMNS = (
    "format", "size", "test accuracy", "agreement", "accuracy drop, pp (95 % interval)",
    "latency p50, µs (95 % interval)", "of PyTorch's (95 % interval)",
)  # fmt: skip


def main() -> None:
    """Print one table for each run, then what all of them were measured on."""
    arguments = parse(sys.argv[1:])
    host = describe_bench_host()  # before the load of this very measurement
    plan = BenchPlan(rounds=arguments.rounds, calls=arguments.calls)
    counts = []
    for folder in arguments.runs:
        opened = find_run(folder, data_dir=arguments.data_dir)
        verification, rows = measure(opened, plan)
        print(f"{opened.record.recipe.name} on {opened.data.name}:\n")
        print("\n".join([*table(verification, rows), "", *int8_beside_float32(rows)]) + "\n")
        counts.append(f"{verification.images:,} ({opened.data.name})")
    print(conditions(counts, plan, host))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Accuracy and latency of exported files, as Markdown tables.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders with exported files")
    parser.add_argument("--data-dir", type=Path, help="folder with the data, as for lenet-edge verify")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of fresh sessions (default: 20)")
    parser.add_argument("--calls", type=int, default=200, help="timed calls a round (default: 200)")
    return parser.parse_args(arguments)


def measure(opened: OpenedRun, plan: BenchPlan) -> tuple[Verification, list[BenchRow]]:
    """A run's exported files, if they can be timed: accuracy on the whole test set, latency at batch 1, one thread."""
    run, data = opened.run, opened.data
    files = timeable(exported_files(run))
    verification = verify(files, opened, data, max_drop_pp=100, same_weights=True)  # the table shows; it is no gate
    return verification, bench(files, run, data.test_pixels[:TIMED_IMAGES], batches=[1], threads=[1], plan=plan)


def table(verification: Verification, rows: list[BenchRow]) -> list[str]:
    """The lines of one table: PyTorch first, then the files in the order in which they were verified."""
    timed = {row.path: row for row in rows}
    pytorch = timed["pytorch"]
    lines = [
        COLUMNS,
        ("---", *["---:"] * (len(COLUMNS) - 1)),
        ("PyTorch", kilobytes(pytorch.bytes), percent(verification.reference_accuracy), "", "", *latency(pytorch)),
        *(cells(verdict, timed[verdict.path]) for verdict in verification.verdicts),
    ]
    return [f"| {' | '.join(line)} |" for line in lines]


def cells(verdict: Verdict, row: BenchRow) -> tuple[str, ...]:
    drop = f"{verdict.accuracy_drop_pp:+.2f} ({verdict.drop_lower95_pp:+.2f} to {verdict.drop_upper95_pp:+.2f})"
    accuracy, agreement = percent(verdict.accuracy), percent(verdict.agreement)
    return f"`{verdict.format}`", kilobytes(row.bytes), accuracy, agreement, drop, *latency(row)


def latency(row: BenchRow) -> tuple[str, str]:
    low, high = row.p50_ci95_us
    assert row.relative_ci95 is not None  # PyTorch is always among them
    least, most = row.relative_ci95
    return f"{row.p50_us:.1f} ({low:.1f} to {high:.1f})", f"{row.relative_to_pytorch:.3f} ({least:.3f} to {most:.3f})"


def conditions(counts: list[str], plan: BenchPlan, host: dict[str, Any]) -> str:
    """What a reader needs to judge the figures, and to get them again."""
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    return (
        f"Accuracy on n = {' and '.join(counts)} test images; latency at batch 1, one thread, n = "
        f"{plan.rounds * plan.calls:,} calls each ({plan.rounds} rounds of {plan.calls} on fresh sessions) on "
        f"{host['cpu']} ({', '.join(host['instruction_sets'])}; {host['cores']} cores, load {host['load_1min']}), "
        f"{host['system']}; {versions}. Command: `{shlex.join(['python', *sys.argv])}`"
    )


if __name__ == "__main__":
    main()
