"""`lenet-edge report`."""

from pathlib import Path
from typing import Annotated

import typer

from lenet_edge import console
from lenet_edge.options import DataDirOption, JsonOption, NetOption, TrustOption

NAME = "report"


def run(
    run: Annotated[
        Path | None, typer.Argument(help="A finished run; the latest by default.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The HTML file; report.html in the run's folder by default.")] = None,
    latency: Annotated[bool, typer.Option("--latency/--no-latency", help="Time the exported files here.")] = True,
    rounds: Annotated[int, typer.Option(min=2, help="Rounds of timing, each with fresh sessions.")] = 10,
    calls: Annotated[int, typer.Option(min=1, help="Timed calls per round.")] = 100,
    net: NetOption = None,
    trust: TrustOption = False,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a run's results as one HTML file.

    With curves, confusions, mistakes, filters, exported files, recipe and data.

    The network and the exported files are measured anew on the test set. The file needs no network and no script, and
    holds no path of this machine; without latency it is the same every time.

    Example: lenet-edge report runs/lenet5-mnist-1
    """
    del net  # its program is imported by now
    from lenet_edge.bench.measuring import BenchPlan
    from lenet_edge.report import page
    from lenet_edge.report.findings import gather
    from lenet_edge.runs.finding import find_run

    found = find_run(run, data_dir=data_dir)
    folder = found.run.folder
    path = out or folder / "report.html"
    findings = gather(found, BenchPlan(rounds=rounds, calls=calls) if latency else None, trust=trust)
    page.write(findings, path)
    if findings.verification is None:
        console.say("the run has no exported files: 'lenet-edge export --int8' writes them, then report again")
    if as_json:
        accuracy = findings.evaluation.accuracy
        console.print_json({"run": str(folder), "path": str(path), "bytes": path.stat().st_size, "accuracy": accuracy})
    else:
        typer.echo(str(path))
