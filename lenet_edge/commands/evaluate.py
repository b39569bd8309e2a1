"""`lenet-edge evaluate`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lenet_edge import console
from lenet_edge.options import (
    DataDirOption,
    DatasetHelp,
    JobsOption,
    JsonOption,
    LabelsOption,
    MeanOption,
    NetOption,
    ScaleOption,
    StdOption,
    TimeLimitOption,
    TrustOption,
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
    corruptions: Annotated[
        bool, typer.Option("--corruptions", help="Score it on spoilt test images, too: the 15 kinds of MNIST-C.")
    ] = False,
    per_kind: Annotated[
        int | None,
        typer.Option(min=1, help="With --corruptions: test images of each kind.  [default: 2000]", show_default=False),
    ] = None,
    net: NetOption = None,
    labels: LabelsOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    scale: ScaleOption = None,
    time_limit: TimeLimitOption = None,
    trust: TrustOption = False,
    jobs: JobsOption = 1,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a run or a file on a test set, class by class.

    Prints scores per class, averages, AUC-ROC, log loss, calibration, the confusion matrix and the most confident
    mistakes; with --corruptions also the accuracy on spoilt images of 28 x 28 in grey, by kind and in the mean.

    A class's accuracy is the share of its own images that were recognised. With --labels and --dataset the file may be
    another tool's ONNX classifier; it is run in a process of its own, under limits.

    Example: lenet-edge evaluate lenet5-mnist.int8.onnx --dataset mnist
    """
    del net  # its program is imported by now
    if per_kind is not None and not corruptions:
        raise typer.BadParameter("--per-kind goes with --corruptions")
    from lenet_edge.data.own_images import read_by
    from lenet_edge.evaluation.robustness import PER_KIND
    from lenet_edge.evaluation.subjects import file_subject, is_file, run_subject
    from lenet_edge.runs.finding import find_run

    with read_by(jobs):
        if foreign := open_foreign([model] if model else [], labels, mean, std, time_limit, scale):
            subject = _foreign_subject(foreign[0], dataset, data_dir)
        elif model is not None and is_file(model):
            subject = file_subject(model, dataset, data_dir, trust)
        else:
            subject = run_subject(find_run(model, data_dir=data_dir), dataset)
    result = subject.evaluate(mistakes, (per_kind or PER_KIND) if corruptions else None)
    if as_json:
        console.print_json(result)
    else:
        print_evaluation(result)


def _foreign_subject(classifier: Any, dataset: str | None, data_dir: Path | None) -> Any:
    from lenet_edge.data.datasets import load_dataset
    from lenet_edge.evaluation.foreign_accuracy import FORMAT, of_its_size
    from lenet_edge.evaluation.subjects import Subject

    if dataset is None:
        raise typer.BadParameter("give --dataset: another tool's file does not say which data it belongs to")
    data, remark = of_its_size(load_dataset(dataset, data_dir), classifier.spec)
    if remark:
        console.say(remark)
    return Subject(str(classifier.path), FORMAT, classifier, classifier.spec, data)


def print_evaluation(result: Any) -> None:
    """Print the scores as tables."""
    auc = "undefined" if result.auc_roc is None else f"{result.auc_roc:.4f}"
    console.print_table(
        f"{result.model} ({result.format}): {console.percent(result.accuracy)} of {result.images:,} test images of "
        f"{result.dataset} (95 % interval {_interval(result.accuracy_ci95)}); AUC-ROC {auc}, "
        f"log loss {result.log_loss:.4f}, {_calibration_said(result.calibration)}",
        ["class", "images", "accuracy", "95 % interval", "precision", "recall", "F1"],
        [
            *(_class_row(row) for row in result.per_class),
            *(_average_row(name, getattr(result, name), result.images) for name in ("macro", "weighted")),
        ],
    )
    if result.sets:
        console.print_table(
            "sets of labels, as predict --coverage gives them",
            ["coverage", "hold the true label", "95 % interval", "labels in the mean"],
            [
                [f"{row.coverage:g}", console.percent(row.held), _interval(row.held_ci95), f"{row.labels:.2f}"]
                for row in result.sets
            ],
        )
    if result.corruptions:
        _print_corruptions(result.corruptions)
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


def _calibration_said(found: Any) -> str:
    low, high = (f"{100 * end:.2f}" for end in found.ece_ci95)
    return (
        f"Brier score {found.brier:.4f}, calibration error {100 * found.ece:.2f} points (95 % interval {low} to "
        f"{high}), mean confidence {console.percent(found.confidence)}"
    )


def _print_corruptions(found: Any) -> None:
    console.print_table(
        f"spoilt in the {len(found.kinds)} kinds of MNIST-C: {console.percent(found.accuracy)} in the mean (95 % "
        f"interval {_interval(found.accuracy_ci95)}) of {found.images:,} test images a kind; unspoilt "
        f"{console.percent(found.clean_accuracy)}",
        ["kind", "accuracy", "95 % interval"],
        [[row.kind, console.percent(row.accuracy), _interval(row.accuracy_ci95)] for row in found.kinds],
    )


def _interval(ends: tuple[float, float]) -> str:
    return " to ".join(map(console.percent, ends))


def _class_row(row: Any) -> list[str]:
    from lenet_edge.evaluation.statistics import wilson_interval

    ends = wilson_interval(round(row.accuracy * row.support), row.support) if row.support else (0.0, 1.0)
    return [
        row.label,
        f"{row.support:,}",
        console.percent(row.accuracy),
        _interval(ends),
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
        "confusion matrix: a row for each true class, a column for each answer",
        ["", *map(str, range(len(names)))],
        [
            [str(i) if name == str(i) else f"{i} {name}", *(str(count) if count else "." for count in counts)]
            for i, (name, counts) in enumerate(zip(names, result.confusion_matrix, strict=True))
        ],
    )
