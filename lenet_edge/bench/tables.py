"""What `lenet-edge bench` prints for people: tables, and in words what one should not overlook in them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenet_edge import console
from lenet_edge.evaluation.foreign_accuracy import FORMAT as FOREIGN

if TYPE_CHECKING:
    from lenet_edge.bench.measuring import BenchRow
    from lenet_edge.bench.results import BenchResults, Change
    from lenet_edge.bench.self_test import SelfTest

COLUMNS = (
    "model", "batch", "threads", "p50, us", "95 % interval", "p90", "p99", "images/s", "of PyTorch's", "open, ms",
    "first, us", "memory", "size",
)  # fmt: skip
INT8_IN_WORDS = {
    "slower": "slower",
    "faster": "faster",
    "same": "no difference can be told",
    "unknown": "too few rounds to call it a difference",
}


def print_bench(results: "BenchResults") -> None:
    """Print the rows, what they were measured on, and in words how int8 stands beside float32."""
    host, plan, rows = results.host, results.plan, results.rows
    console.print_table(
        f"latency on {host['cpu']} ({', '.join(host['instruction_sets'])})", COLUMNS, [_cells(row) for row in rows]
    )
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    governor = f"governor {host['governor']}" if host["governor"] else "governor not shown"
    virtual = ", virtual machine" if host["virtual"] else ""
    apis = ", ".join(sorted({f"{row.backend}: {row.api}" for row in rows}))
    console.say(f"{rows[0].calls} calls each: {plan.rounds} rounds of {plan.calls} on fresh sessions; {apis}")
    console.say(
        f"{host['cores_usable']} of {host['cores']} cores, load {host['load_1min']}, {governor}{virtual}; {versions}"
    )
    for remark in [*busy(host), *int8_beside_float32(rows), *compiled(rows)]:
        console.say(remark)


def print_changes(changes: Sequence["Change"], remarks: Sequence[str]) -> None:
    """Print two measurements beside each other; a change has the name of one only where its interval says so."""
    console.print_table(
        "now against then",
        ["model", "batch", "threads", "then, us", "now, us", "now of then's", "99 % interval", "verdict"],
        [
            [
                change.name,
                str(change.batch),
                str(change.threads),
                f"{change.before_us:.1f}",
                f"{change.now_us:.1f}",
                f"{change.ratio.value:.3f}",
                "-" if change.ratio.ci99 is None else f"{change.ratio.ci99[0]:.3f} to {change.ratio.ci99[1]:.3f}",
                change.verdict + (" (same bytes)" if change.same_bytes else ""),
            ]
            for change in changes
        ],
    )
    for remark in remarks:
        console.say(remark)


def print_self_tests(tests: Sequence["SelfTest"]) -> None:
    """Print what files against their own copies gave."""
    console.print_table(
        "A/A test: a file against its own copy",
        ["model", "batch", "threads", "repeats", "differences", "outside 95 %", "least that can be seen", "result"],
        [
            [
                Path(test.path).name,
                str(test.batch),
                str(test.threads),
                str(test.repeats),
                str(test.differences),
                str(test.outside_95),
                console.percent(test.resolution, 1),
                "passed" if test.passed else "FAILED",
            ]
            for test in tests
        ],
    )


def busy(host: dict[str, Any]) -> list[str]:
    """One sentence where other processes disturb the measurement."""
    from lenet_edge_runtime.host import is_busy

    if not is_busy(host):
        return []
    return [f"the machine was busy before this began (load {host['load_1min']} on {host['cores']} cores): figures vary"]


def int8_beside_float32(rows: Sequence["BenchRow"]) -> list[str]:
    """What share of float32's time each int8 file takes, round by round, with its interval: a sentence a case."""
    from lenet_edge_runtime.latency import paired_ratio

    float32 = {(row.batch, row.threads): row for row in rows if row.format == "onnx"}
    remarks = []
    for row in rows:
        other = float32.get((row.batch, row.threads))
        if row.format != "int8" or other is None:
            continue
        ratio = paired_ratio(row, other)
        level, ends = ("95 %", ratio.ci95) if ratio.ci99 is None else ("99 %", ratio.ci99)
        remarks.append(
            f"{Path(row.path).name} takes {ratio.value:.2f} of float32's time here ({_ends(ends, 2)}, {level}; batch "
            f"{row.batch}, {row.threads} thread(s)): {INT8_IN_WORDS[ratio.verdict]}; it is "
            f"{other.bytes / row.bytes:.1f} times smaller"
        )
    return remarks


def compiled(rows: Sequence["BenchRow"]) -> list[str]:
    """One sentence where opening a model meant compiling it."""
    if not any(row.backend == "c" for row in rows):
        return []
    return ["opening c compiles it first, which takes nearly all of that time: an app opens what was built before"]


def _cells(row: "BenchRow") -> list[str]:
    memory = None if row.memory_load_bytes is None else row.memory_load_bytes + (row.memory_run_bytes or 0)
    ratio = None if row.relative_ci95 is None else f"{row.relative_to_pytorch:.3f} ({_ends(row.relative_ci95, 3)})"
    return [
        display_name(row),
        str(row.batch),
        str(row.threads),
        f"{row.p50_us:.1f}",
        _ends(row.p50_ci95_us, 1),
        "-" if row.p90_us is None else f"{row.p90_us:.1f}",
        "-" if row.p99_us is None else f"{row.p99_us:.1f}",
        f"{row.images_per_second:,.0f}",
        ratio or "-",
        f"{row.load_us / 1000:.1f}",
        f"{row.first_call_us:.0f}",
        "-" if memory is None else f"{memory / 1e6:.1f} MB",
        console.kilobytes(row.bytes),
    ]


def _ends(interval: tuple[float, float], digits: int) -> str:
    return f"{interval[0]:.{digits}f} to {interval[1]:.{digits}f}"


def display_name(row: "BenchRow") -> str:
    """Backend and format of ours, the file's name of another tool's."""
    if row.format == FOREIGN:
        return row.name
    return f"{row.backend} {row.format}" if row.backend != row.format else str(row.backend)
