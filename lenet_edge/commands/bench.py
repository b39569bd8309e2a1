"""`lenet-edge bench`."""

from typing import Annotated, Any

import typer

from lenet_edge import console
from lenet_edge.options import DataDirOption, FilesArgument, JsonOption, RunOption
from lenet_edge_runtime.errors import RunError

NAME = "bench"


def run(
    files: FilesArgument = None,
    run: RunOption = None,
    batch: Annotated[str, typer.Option(help="Images a call; several sizes by commas.")] = "1",
    threads: Annotated[str, typer.Option(help="Threads of every backend; several counts by commas.")] = "1",
    rounds: Annotated[int, typer.Option(min=2, help="Rounds, each with fresh sessions in shuffled order.")] = 10,
    calls: Annotated[int, typer.Option(min=1, help="Timed calls a round; p99 needs 662 in all.")] = 100,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure latency on onnxruntime beside PyTorch, interleaved over fresh sessions.

    Example: lenet-edge bench --batch 1,64
    """
    batches, thread_counts = _counts("--batch", batch), _counts("--threads", threads)
    from lenet_edge.benchmarking import BenchPlan, bench, describe_bench_host
    from lenet_edge.exported import exported_files, run_of
    from lenet_edge.reference import load_run_data
    from lenet_edge.runs import find_run

    found = run_of(files[0]) if files and run is None else find_run(run)
    if found is None:
        raise RunError(f"the run that {files[0]} was exported from is not here; name it by --run")  # type: ignore[index]
    data = load_run_data(found, found.read(), data_dir)
    rows = bench(
        files or exported_files(found),
        found,
        data.test_pixels[:1000],
        batches=batches,
        threads=thread_counts,
        plan=BenchPlan(rounds=rounds, calls=calls),
    )
    host = describe_bench_host()
    if as_json:
        console.print_json({"host": host, "rows": rows})
    else:
        print_bench(rows, host)


def print_bench(rows: list[Any], host: dict[str, Any]) -> None:
    """Print the rows, what they were measured on, and in words where int8 is no gain in speed."""
    console.print_table(
        f"latency on {host['cpu']} ({', '.join(host['instruction_sets'])})",
        [
            "model",
            "batch",
            "threads",
            "p50, us",
            "95 % interval",
            "p90",
            "p99",
            "images/s",
            "of PyTorch's",
            "size",
        ],
        [
            [
                f"{row.backend} {row.format}" if row.backend != row.format else row.backend,
                str(row.batch),
                str(row.threads),
                f"{row.p50_us:.1f}",
                f"{row.p50_ci95_us[0]:.1f} to {row.p50_ci95_us[1]:.1f}",
                f"{row.p90_us:.1f}",
                "-" if row.p99_us is None else f"{row.p99_us:.1f}",
                f"{row.images_per_second:,.0f}",
                f"{row.relative_to_pytorch:.3f}",
                console.kilobytes(row.bytes),
            ]
            for row in rows
        ],
    )
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    console.say(f"{rows[0].calls} calls each; {versions}")
    for remark in slower_int8(rows):
        console.say(remark)


def slower_int8(rows: list[Any]) -> list[str]:
    """One sentence for each case where int8 takes longer than float32 and the intervals leave no doubt."""
    cases = {(row.format, row.batch, row.threads): row for row in rows}
    remarks = []
    for (name, batch, threads), row in cases.items():
        float32 = cases.get(("onnx", batch, threads))
        if name == "int8" and float32 is not None and row.p50_ci95_us[0] > float32.p50_ci95_us[1]:
            remarks.append(
                f"int8 is slower than float32 here (batch {batch}, {threads} thread(s)): {row.p50_us:.1f} against "
                f"{float32.p50_us:.1f} us; it is {float32.bytes / row.bytes:.1f} times smaller"
            )
    return remarks


def _counts(option: str, text: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1 or max(counts) > 65536:
        raise typer.BadParameter(f"{option} takes whole numbers from 1 by commas, such as 1,64; got {text!r}")
    return counts
