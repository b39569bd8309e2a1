"""Train, export, verify, evaluate and benchmark as functions: what the commands do, for a Python program.

    import lenet_edge

    run = lenet_edge.train("lenet5", dataset="digits")
    report = lenet_edge.export(run, ["onnx", "int8"])
    assert lenet_edge.verify(run).passed

All print nothing to stdout, and raise errors of `lenet_edge_runtime.errors.LenetEdgeError`, whose text says what to do.
Paths may be given as str. Each function imports what it needs when it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lenet_edge.networks.recipes import DEFAULT_RECIPE, Recipe, find_recipe
from lenet_edge.runs.opened import OpenedRun
from lenet_edge_runtime.errors import RunError
from lenet_edge_runtime.spec import InputType

if TYPE_CHECKING:
    from lenet_edge.artefacts.calibration import Int8Plan
    from lenet_edge.artefacts.exporting import ExportReport
    from lenet_edge.bench.measuring import BenchPlan
    from lenet_edge.bench.results import BenchResults
    from lenet_edge.data.image_data import ImageForm
    from lenet_edge.evaluation.evaluation import Evaluation
    from lenet_edge.evaluation.file_verification import Evidence
    from lenet_edge.evaluation.run_verification import Verification
    from lenet_edge.training.watcher import Watcher

__all__ = ["benchmark", "evaluate", "examine", "export", "open_run", "train", "verify"]

StrPath = str | Path
AnyRun = OpenedRun | StrPath | None  # opened, the path or name of one, or the latest in runs/


def open_run(run: StrPath | None = None, *, data_dir: StrPath | None = None) -> OpenedRun:
    """A finished run by its path or its name in `runs/`, or the latest; raises RunError where there is none.

    `record.metrics` has its figures, `data` its images, `net` its network in PyTorch on normalised images, and `model`
    the network on raw pixels.
    """
    from lenet_edge.runs.finding import find_run

    return find_run(_path(run), data_dir=_path(data_dir))


def train(
    recipe: str | Recipe = DEFAULT_RECIPE,
    *,
    dataset: StrPath | None = None,
    data_dir: StrPath | None = None,
    out: StrPath | None = None,
    seed: int = 0,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    device: str = "auto",
    threads: int | None = None,
    images: ImageForm | None = None,
    watcher: Watcher | None = None,
) -> OpenedRun:
    """Train a recipe into a new run folder, evaluate it on the test set, and return the run.

    What is None comes from the recipe: its data set, epochs, batch size and peak learning rate. `threads`: torch's own
    number where it is None. `images`: the size and colours of your own. A `watcher` hears how training goes, and may
    stop it (TrainingStopped; the last epoch is kept). Raises RunError where `out` holds a run, DataError without data,
    TrainingError for a device that is missing.
    """
    from lenet_edge.data.datasets import load_dataset
    from lenet_edge.runs.opened import open_run as opened
    from lenet_edge.training.training import complete, start_run
    from lenet_edge.training.watcher import Watcher

    found = find_recipe(recipe) if isinstance(recipe, str) else recipe
    chosen = found.changed(batch_size=batch_size, learning_rate=learning_rate)
    data = load_dataset(str(dataset or chosen.made_for), _path(data_dir), images)
    run = start_run(chosen, data, _path(out), seed=seed, device=device, threads=threads, epochs=epochs)
    complete(run, data, watcher or Watcher(), resume=False)
    return opened(run, _path(data_dir))


def export(
    run: AnyRun = None,
    formats: Sequence[str] = ("torchscript", "onnx"),
    *,
    out: StrPath | None = None,
    int8: Int8Plan | None = None,
    max_drop_pp: float | None = None,
    opset: int | None = None,
    input_type: InputType = "uint8",
    c_name: str | None = None,
    packages: Sequence[str] = (),
    data_dir: StrPath | None = None,
) -> ExportReport:
    """Write a file of each format, compared with the PyTorch model, into `out` or the run's own export folder.

    `report.artifacts` has a row for each file: path, size, SHA-256, agreement, and what was measured on the test set. A
    file that may have lost more than `max_drop_pp` percentage points of accuracy is written as `*.rejected.*`, and
    `report.passed` is False. `int8` says how int8 is calibrated, `c_name` with what the names in a C folder begin
    (lenet), and `packages` in which shapes its folder is written, too (cmake, npm, ...: docs/packages.md). Raises
    ValueError for an unknown format or package or a name that cannot be, and GateError for a file that does not answer
    like the network at all.
    """
    from lenet_edge.artefacts.exporting import export_run
    from lenet_edge_exporters.export_job import DEFAULT_OPSET
    from lenet_edge_exporters.formats import checked_names

    names, found, folder = checked_names(formats), _opened(run, data_dir), _path(out)
    with found.run.locked_for(folder):
        return export_run(
            found,
            names,
            out=folder,
            opset=DEFAULT_OPSET if opset is None else opset,
            max_drop_pp=max_drop_pp,
            int8=int8,
            input_type=input_type,
            c_name=c_name,
            packages=packages,
        )


def verify(
    run: AnyRun = None,
    files: Sequence[StrPath] = (),
    *,
    dataset: StrPath | None = None,
    max_drop_pp: float | None = None,
    trust: bool = False,
    data_dir: StrPath | None = None,
) -> Verification:
    """Compare exported files (all those of the run where none are given) with the run's PyTorch model on the test set.

    `verdicts` has a row for each file: accuracy, agreement, accuracy drop with its 95 % interval, McNemar's p. A file
    passes when the upper end of the interval is at most `max_drop_pp` percentage points (None: 0.3, more on small test
    sets). Without a run, the files' own is looked for; raises RunError where it is not here: then `examine` the file.
    With `trust` files that can run code and were not exported on this machine are opened, in a child process.
    """
    from lenet_edge.evaluation.run_verification import verify as verified
    from lenet_edge.runs.exported import exported_files, run_of

    paths, folder = [Path(path) for path in files], _path(data_dir)
    found = run_of(paths[0], folder, trust) if paths and run is None else _opened(run, data_dir)
    if found is None:
        raise RunError(f"the run that {paths[0]} was exported from is not here; name it, or call lenet_edge.examine")
    data = found.images(str(dataset) if dataset else None)
    return verified(paths or exported_files(found.run), found, data, max_drop_pp, same_weights=run is None, trust=trust)


def examine(file: StrPath, *, dataset: StrPath | None = None, data_dir: StrPath | None = None) -> Evidence:
    """Check an ONNX or ORT file on its own evidence: its seal, its known answers, its card. Needs no torch and no run.

    With a data set the accuracy is measured again and has to be the card's.
    """
    from lenet_edge.evaluation.file_verification import data_for
    from lenet_edge.evaluation.file_verification import examine as examined

    return examined(Path(file), data_for(Path(file), str(dataset), _path(data_dir)) if dataset else None)


def evaluate(
    model: AnyRun = None,
    *,
    dataset: StrPath | None = None,
    mistakes: int = 10,
    corrupted: int | None = None,
    trust: bool = False,
    data_dir: StrPath | None = None,
) -> Evaluation:
    """Score a run, or an exported file of any format, on a test set (its own where none is named).

    Accuracy with Wilson's 95 % interval, scores per class and their averages, AUC-ROC, log loss, confusion matrix, and
    the most confident `mistakes`. `corrupted`: so many test images are also spoilt in the 15 kinds of MNIST-C, for
    `corruptions`. `trust`: as in `verify`.
    """
    from lenet_edge.evaluation.subjects import file_subject, is_file, run_subject

    data_name = None if dataset is None else str(dataset)
    if isinstance(model, str | Path) and is_file(Path(model)):
        subject = file_subject(Path(model), data_name, _path(data_dir), trust)
    else:
        subject = run_subject(_opened(model, data_dir), data_name)
    return subject.evaluate(mistakes, corrupted)


def benchmark(
    run: AnyRun = None,
    files: Sequence[StrPath] = (),
    *,
    batches: Sequence[int] = (1,),
    threads: Sequence[int] = (1,),
    plan: BenchPlan | None = None,
    data_dir: StrPath | None = None,
) -> BenchResults:
    """Time exported files (all those of the run where none are given) beside the run's PyTorch model.

    `rows` has a row for each file and case: percentiles in microseconds a call with 95 % intervals, and the ratio to
    PyTorch's. `plan` says how many rounds and calls. Files whose run is not here are timed alone.
    """
    from lenet_edge.bench.measuring import BenchPlan, bench, contenders, describe_bench_host
    from lenet_edge.bench.results import BenchResults

    host, chosen = describe_bench_host(), plan or BenchPlan()
    if isinstance(run, OpenedRun):
        data_dir, run = run.data_dir, run.run.folder
    found, paths, images = contenders([Path(path) for path in files], _path(run), _path(data_dir))
    rows = bench(paths, found, images, batches=list(batches), threads=list(threads), plan=chosen)
    return BenchResults(host, chosen, rows)


def _path(given: StrPath | None) -> Path | None:
    return None if given is None else Path(given)


def _opened(run: AnyRun, data_dir: StrPath | None) -> OpenedRun:
    return run if isinstance(run, OpenedRun) else open_run(run, data_dir=data_dir)
