"""Runs found by name, by path, or as the latest."""

from collections.abc import Iterator
from pathlib import Path

from lenet_edge import console
from lenet_edge.runs.opened import OpenedRun, open_run
from lenet_edge.runs.record import RunRecord, Status
from lenet_edge.runs.run import RUNS, Run
from lenet_edge_exporters import manifest
from lenet_edge_runtime.errors import RunError
from lenet_edge_runtime.near_names import near_path
from lenet_edge_runtime.pretrained_files import PREFIX, no_such_network, pretrained_name

PRETRAINED_RUNS = Path(__file__).parent / "pretrained"


def readable_runs(root: Path) -> Iterator[tuple[Run, RunRecord]]:
    """The runs directly below `root`, by name; one whose record is damaged is named on stderr and left out."""
    for path in sorted(root.glob("*/run.json")):
        run = Run(path.parent)
        try:
            record = run.read()
        except RunError as error:
            console.say(f"left out: {error}")
        else:
            yield run, record


def find_run(
    given: Path | None,
    root: Path = RUNS,
    status: tuple[Status, ...] = ("finished", "imported"),
    data_dir: Path | None = None,
) -> OpenedRun:
    """Open the run at `given` (a path, a name below `root`, or `pretrained:NAME`), or the latest of `status`.

    Raises RunError where there is none, or the one given is of another status.
    """
    if given is not None:
        opened = open_run(_named(given, root), data_dir)
        _check_record(opened)
        run = opened.run
        if opened.record.status not in status:
            raise RunError(f"{run.folder} is {_DESCRIBED[opened.record.status]}; {_NEXT[opened.record.status]}")
        return opened
    found = [OpenedRun(run, record, data_dir) for run, record in readable_runs(root) if record.status in status]
    if not found:
        wanted = "unfinished" if status == ("training",) else "finished"
        raise RunError(f"there is no {wanted} run in {root}/; start one with 'lenet-edge train'")
    latest = max(found, key=lambda opened: opened.record.created)
    _check_record(latest)
    return latest


def _check_record(opened: OpenedRun) -> None:
    """Hold the record against the run's manifest; an unfinished run's changes, and a kill may come between the two."""
    if opened.record.status != "training":
        manifest.check(opened.run.record_path)


def pretrained_run(name: str) -> Run:
    """The run of a network that comes with the package; nothing is to be written into it."""
    return Run(PRETRAINED_RUNS / name)


def _named(given: Path, root: Path) -> Run:
    if str(given).startswith(PREFIX):
        if (name := pretrained_name(given)) is None:
            raise RunError(no_such_network(given))
        return pretrained_run(name)
    if given.exists() or (root / given).exists():
        return Run(given if given.exists() else root / given)
    if near := near_path(given) or near_path(root / given):
        raise RunError(f"{given} is not a run folder: {near}'lenet-edge train' makes one")
    return Run(given)


_DESCRIBED = {
    "training": "not finished",
    "finished": "finished already",
    "imported": "made from imported weights",
}
_NEXT = {
    "training": "go on with it by 'lenet-edge train --resume --out FOLDER'",
    "finished": "export it with 'lenet-edge export', or train a new run",
    "imported": "there is no training to go on with",
}
