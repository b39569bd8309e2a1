"""`lenet-edge bench`."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from lenet_edge import console
from lenet_edge.options import (
    DataDirOption,
    FilesArgument,
    JsonOption,
    LabelsOption,
    MeanOption,
    RunOption,
    StdOption,
    TimeLimitOption,
    open_foreign,
)

NAME = "bench"


def run(
    files: FilesArgument = None,
    run: RunOption = None,
    batch: Annotated[str, typer.Option(help="Images a call; several sizes by commas.")] = "1",
    threads: Annotated[str, typer.Option(help="Threads of every backend; several counts by commas.")] = "1",
    rounds: Annotated[int, typer.Option(min=2, help="Rounds, each with fresh sessions in shuffled order.")] = 10,
    calls: Annotated[int, typer.Option(min=1, help="Timed calls a round; p99 needs 662 in all.")] = 100,
    labels: LabelsOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    time_limit: TimeLimitOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure latency on onnxruntime beside PyTorch, interleaved over fresh sessions.

    Files whose run is not here, or without torch, are timed alone on the images that they carry. With --labels they
    may be another tool's ONNX classifiers; those are timed in a process of its own, under limits.

    Example: lenet-edge bench --batch 1,64
    """
    batches, thread_counts = _counts("--batch", batch), _counts("--threads", threads)
    from lenet_edge.benchmarking import BenchPlan, bench, bench_foreign, describe_bench_host

    plan = BenchPlan(rounds=rounds, calls=calls)
    if foreign := open_foreign(files or [], labels, mean, std, time_limit):
        rows = bench_foreign(foreign, batches=batches, threads=thread_counts, plan=plan)
    else:
        found, chosen, images = _contenders(files, run, data_dir)
        rows = bench(chosen, found, images, batches=batches, threads=thread_counts, plan=plan)
    host = describe_bench_host()
    if as_json:
        console.print_json({"host": host, "rows": rows})
    else:
        print_bench(rows, host)


def _contenders(files: list[Path] | None, run: Path | None, data_dir: Path | None) -> tuple[Any, list[Path], Any]:
    """The run beside whose PyTorch model files are timed (None without it or torch), the files, and images."""
    from lenet_edge.benchmarking import known_images
    from lenet_edge.exported import exported_files, run_of
    from lenet_edge.runs import find_run
    from lenet_edge_exporters.formats import format_of

    found = run_of(files[0]) if files and run is None else find_run(run)
    chosen = files or exported_files(found)  # type: ignore[arg-type]  # without files find_run found one
    if not files:  # a call into another process is no measure of a network
        chosen = [path for path in chosen if format_of(path).backend != "node"]
    if found is not None and find_spec("torch"):
        from lenet_edge.reference import load_run_data

        return found, chosen, load_run_data(found, found.read(), data_dir).test_pixels[:1000]
    if not files:
        chosen = [path for path in chosen if format_of(path).backend == "onnxruntime"]
    return None, chosen, known_images(chosen)


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
                _name(row),
                str(row.batch),
                str(row.threads),
                f"{row.p50_us:.1f}",
                f"{row.p50_ci95_us[0]:.1f} to {row.p50_ci95_us[1]:.1f}",
                f"{row.p90_us:.1f}",
                "-" if row.p99_us is None else f"{row.p99_us:.1f}",
                f"{row.images_per_second:,.0f}",
                "-" if row.relative_to_pytorch is None else f"{row.relative_to_pytorch:.3f}",
                console.kilobytes(row.bytes),
            ]
            for row in rows
        ],
    )
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    console.say(f"{rows[0].calls} calls each; {versions}")
    for remark in slower_int8(rows):
        console.say(remark)


def _name(row: Any) -> str:
    from lenet_edge.foreign import FORMAT

    if row.format == FORMAT:
        return Path(row.path).name
    return f"{row.backend} {row.format}" if row.backend != row.format else str(row.backend)


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
