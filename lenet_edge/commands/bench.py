"""`lenet-edge bench`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lenet_edge import console
from lenet_edge.options import (
    DataDirOption,
    FilesArgument,
    JsonOption,
    LabelsOption,
    MeanOption,
    NetOption,
    RunOption,
    ScaleOption,
    StdOption,
    TimeLimitOption,
    one_of,
    open_foreign,
)

if TYPE_CHECKING:
    from lenet_edge.bench.measuring import BenchPlan
    from lenet_edge.bench.results import BenchResults

NAME = "bench"


def run(
    files: FilesArgument = None,
    run: RunOption = None,
    net: NetOption = None,
    batch: Annotated[str, typer.Option(help="Images per call; several sizes separated by commas.")] = "1",
    threads: Annotated[str, typer.Option(help="Threads of every backend; several counts separated by commas.")] = "1",
    rounds: Annotated[int, typer.Option(min=2, help="Rounds, each with fresh sessions in shuffled order.")] = 10,
    calls: Annotated[int, typer.Option(min=1, help="Timed calls per round; p90 needs 64 in all, p99 662.")] = 100,
    api: Annotated[str, typer.Option(help="How onnxruntime is called: run or io-binding.")] = "run",
    memory: Annotated[bool, typer.Option(help="Open each model in a process of its own to see its memory.")] = True,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Compare each file with its own copy 20 times; exit 3 on differences.")
    ] = False,
    compare: Annotated[
        Path | None, typer.Option(help="Earlier results (--out) of this machine to compare with.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the results as JSON.", show_default=False)] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the results as a PNG.", show_default=False)] = None,
    labels: LabelsOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    scale: ScaleOption = None,
    time_limit: TimeLimitOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure latency on onnxruntime beside PyTorch.

    Rounds of fresh sessions in shuffled order, so that all files meet the same machine.

    Files whose run is not here, or without torch, are timed alone on the images that they carry. With --labels they
    may be another tool's ONNX classifiers; those are timed in a process of its own, under limits.

    Example: lenet-edge bench --batch 1,64
    """
    del net  # its program is imported by now
    batches, thread_counts = _counts("--batch", batch), _counts("--threads", threads)
    from lenet_edge.bench.measuring import APIS, BenchPlan, bench, bench_foreign, contenders, describe_bench_host
    from lenet_edge.bench.results import BenchResults

    call = one_of(APIS, api, "--api")
    if self_test and (compare or out or plot or labels):
        raise typer.BadParameter(
            "--self-test cannot be combined with --compare, --out, --plot and --labels: leave them out"
        )
    if labels and api != "run":
        raise typer.BadParameter("another tool's classifiers are timed only with --api run")
    earlier = BenchResults.read(compare) if compare else None  # what cannot work is said before minutes are spent
    if plot:
        import matplotlib  # noqa: F401

    host = describe_bench_host()  # before the load of this very measurement
    plan = BenchPlan(rounds=rounds, calls=calls, api=call, memory=memory and not labels)
    if foreign := open_foreign(files or [], labels, mean, std, time_limit, scale):
        rows = bench_foreign(foreign, batches=batches, threads=thread_counts, plan=plan)
    else:
        found, chosen, images = contenders(files, run, data_dir)
        if self_test:
            return _self_test(chosen, images, batches, thread_counts, plan, host, as_json)
        rows = bench(chosen, found, images, batches=batches, threads=thread_counts, plan=plan)
    results = BenchResults(host, plan, rows)
    if out:
        results.write(out)
    if plot:
        from lenet_edge.bench.plot import draw_bench

        draw_bench(rows, host, plot)
    return _show(results, earlier, as_json)


def _self_test(
    files: list[Path], images: Any, batches: list[int], threads: list[int], plan: "BenchPlan", host: Any, as_json: bool
) -> None:
    from lenet_edge.bench.self_test import run_self_test
    from lenet_edge.bench.tables import busy, print_self_tests
    from lenet_edge_runtime.errors import GateError
    from lenet_edge_runtime.resampling import CALL_LEVEL, minimum_rounds

    if plan.rounds < minimum_rounds(CALL_LEVEL):
        raise typer.BadParameter(f"--self-test needs --rounds {minimum_rounds(CALL_LEVEL)} at least; got {plan.rounds}")
    tests = []
    for path in files:
        for batch in batches:
            for count in threads:
                console.say(f"comparing {path} with its copy (batch {batch}, {count} thread(s))")
                tests.append(run_self_test(path, images, batch=batch, threads=count, plan=plan))
    if as_json:
        console.print_json({"host": host, "passed": all(test.passed for test in tests), "self_tests": tests})
    else:
        print_self_tests(tests)
        for remark in busy(host):
            console.say(remark)
    if failed := [test for test in tests if not test.passed]:
        raise GateError(
            f"{failed[0].path} differs from its own copy in {failed[0].differences} of {failed[0].repeats} repeats: no "
            f"difference that this machine shows now means anything; stop what else runs on it, or give more --rounds"
        )


def _show(results: "BenchResults", earlier: "BenchResults | None", as_json: bool) -> None:
    from lenet_edge.bench.results import compare_results, remarks_on
    from lenet_edge.bench.tables import print_bench, print_changes

    changes = compare_results(results, earlier) if earlier else []
    remarks = remarks_on(results, earlier, changes) if earlier else []
    if as_json:
        compared = {"changes": changes, "remarks": remarks} if earlier else {}
        console.print_json({**results.to_json(), **compared})
        return
    print_bench(results)
    if earlier:
        print_changes(changes, remarks)


def _counts(option: str, text: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1 or max(counts) > 65536:
        raise typer.BadParameter(
            f"{option} takes whole numbers from 1 on, separated by commas, such as 1,64; got {text!r}"
        )
    return counts
