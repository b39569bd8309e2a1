"""`lenet-edge evaluate`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lenet_edge import console
from lenet_edge.options import (
    DataDirOption,
    DatasetHelp,
    JsonOption,
    LabelsOption,
    MeanOption,
    StdOption,
    TimeLimitOption,
    open_foreign,
)

NAME = "evaluate"
MATRIX_CLASSES = 16  # beyond, a confusion matrix is too wide for a terminal
CONFUSIONS = 10


def run(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN|MODEL]", help="A run (the latest by default) or an exported file of any format."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help=f"Test images: {DatasetHelp}  [default: what it was trained on]", show_default=False),
    ] = None,
    mistakes: Annotated[int, typer.Option(min=0, help="How many of the most confident mistakes are listed.")] = 10,
    labels: LabelsOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    time_limit: TimeLimitOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a run or a file on a test set: per class, averages, AUC-ROC, log loss, confusion matrix, mistakes.

    A class's accuracy is the share of its own images that were recognised. With --labels and --dataset the file may be
    another tool's ONNX classifier; it is run in a process of its own, under limits.

    Example: lenet-edge evaluate lenet5-mnist.int8.onnx --dataset mnist
    """
    from lenet_edge.evaluation.evaluation import evaluate

    foreign = open_foreign([model] if model else [], labels, mean, std, time_limit)
    if foreign:
        name, format_name, opened, spec, data = _open_foreign(foreign[0], dataset, data_dir)
    elif model is not None and _is_file(model):
        name, format_name, opened, spec, data = _open_file(model, dataset, data_dir)
    else:
        name, format_name, opened, spec, data = _open_run(model, dataset, data_dir)
    result = evaluate(opened, spec, data, name=name, format_name=format_name, mistakes=mistakes)
    if as_json:
        console.print_json(result)
    else:
        print_evaluation(result)


def _is_file(path: Path) -> bool:
    from lenet_edge_exporters.formats import is_export

    return path.is_file() or (is_export(path) and not (path / "run.json").is_file())


def _open_run(given: Path | None, dataset: str | None, data_dir: Path | None) -> tuple[str, str, Any, Any, Any]:
    from lenet_edge.bench.measuring import PYTORCH
    from lenet_edge.data.datasets import load_dataset
    from lenet_edge.runs.finding import find_run

    found = find_run(given, data_dir=data_dir)
    data = load_dataset(dataset, data_dir) if dataset else found.data
    return str(found.run.folder), PYTORCH, found.model, found.record.spec, data


def _open_file(path: Path, dataset: str | None, data_dir: Path | None) -> tuple[str, str, Any, Any, Any]:
    from lenet_edge.data.datasets import load_dataset
    from lenet_edge.evaluation.evaluation import open_model

    format_name, model, spec = open_model(path)
    data = load_dataset(dataset, data_dir) if dataset else _own_data(path, model, data_dir)
    return str(path), format_name, model, spec, data


def _own_data(path: Path, model: Any, data_dir: Path | None) -> Any:
    """The data that a file was trained on: its run's where that is here, else what its metadata names."""
    from lenet_edge.data.datasets import DATASETS, load_dataset
    from lenet_edge.runs.exported import run_of
    from lenet_edge_runtime.errors import DataError
    from lenet_edge_runtime.spec import PREFIX

    stated = json.loads(model.metadata.get(PREFIX + "dataset", "null"))
    found = run_of(path)
    wanted = found.run.dataset_argument(found.record) if found else stated
    if found is None and wanted not in DATASETS:
        raise typer.BadParameter(f"{path} does not say which data it belongs to: give --dataset")
    data = load_dataset(wanted, data_dir)
    if data.md5s != json.loads(model.metadata.get(PREFIX + "data_md5s", "null")):
        raise DataError(f"the images of {stated} are not those that {path} was made from; name others by --dataset")
    return data


def _open_foreign(classifier: Any, dataset: str | None, data_dir: Path | None) -> tuple[str, str, Any, Any, Any]:
    from lenet_edge.data.datasets import load_dataset
    from lenet_edge.evaluation.foreign_accuracy import FORMAT

    if dataset is None:
        raise typer.BadParameter("give --dataset: another tool's file does not say which data it belongs to")
    return str(classifier.path), FORMAT, classifier, classifier.spec, load_dataset(dataset, data_dir)


def print_evaluation(result: Any) -> None:
    """Print the scores as tables."""
    low, high = (console.percent(end) for end in result.accuracy_ci95)
    auc = "undefined" if result.auc_roc is None else f"{result.auc_roc:.4f}"
    console.print_table(
        f"{result.model} ({result.format}): {console.percent(result.accuracy)} of {result.images:,} test images of "
        f"{result.dataset} (95 % interval {low} to {high}); AUC-ROC {auc}, log loss {result.log_loss:.4f}",
        ["class", "images", "accuracy", "95 % interval", "precision", "recall", "F1"],
        [
            *(_class_row(row) for row in result.per_class),
            *(_average_row(name, getattr(result, name), result.images) for name in ("macro", "weighted")),
        ],
    )
    _print_confusions(result)
    if result.mistakes:
        console.print_table(
            "most confident mistakes",
            ["test image", "is", "was called", "with", "its own class"],
            [
                [
                    f"no. {item.index}",
                    item.true,
                    item.predicted,
                    console.percent(item.probability),
                    console.percent(item.true_probability),
                ]
                for item in result.mistakes
            ],
        )


def _class_row(row: Any) -> list[str]:
    from lenet_edge.evaluation.statistics import wilson_interval

    ends = wilson_interval(round(row.accuracy * row.support), row.support) if row.support else (0.0, 1.0)
    return [
        row.label,
        f"{row.support:,}",
        console.percent(row.accuracy),
        " to ".join(console.percent(end) for end in ends),
        f"{row.precision:.4f}",
        f"{row.recall:.4f}",
        f"{row.f1:.4f}",
    ]


def _average_row(name: str, average: Any, images: int) -> list[str]:
    return [
        f"{name} average", f"{images:,}", "", "",
        f"{average.precision:.4f}", f"{average.recall:.4f}", f"{average.f1:.4f}",
    ]  # fmt: skip


def _print_confusions(result: Any) -> None:
    """The confusion matrix, columns by number so that it fits; of many classes the most frequent confusions alone."""
    from lenet_edge.evaluation.evaluation import most_frequent_confusions

    names = [row.label for row in result.per_class]
    if len(names) > MATRIX_CLASSES:
        rows = most_frequent_confusions(result)[:CONFUSIONS]
        console.print_table(
            "most frequent confusions", ["is", "was called", "times"], [[a, b, str(times)] for a, b, times in rows]
        )
        return
    console.print_table(
        "confusion matrix: a row for each class as it is, a column for each as it was called",
        ["", *map(str, range(len(names)))],
        [
            [str(i) if name == str(i) else f"{i} {name}", *(str(count) if count else "." for count in counts)]
            for i, (name, counts) in enumerate(zip(names, result.confusion_matrix, strict=True))
        ],
    )
