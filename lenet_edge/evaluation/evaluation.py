"""How good a classifier is on a test set: the metrics of the literature, an interval, and the most confident mistakes.

scikit-learn computes the metrics, from probabilities in float64 (the softmax of the logits).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from lenet_edge.data.corruptions.kinds import check_shape
from lenet_edge.data.image_data import ImageData, Pixels
from lenet_edge.evaluation.calibration import Calibration, LabelSets, measure_calibration, measure_sets
from lenet_edge.evaluation.robustness import Corruptions, measure_corruptions
from lenet_edge.evaluation.statistics import wilson_interval
from lenet_edge_exporters import LoadedModel
from lenet_edge_runtime import softmax
from lenet_edge_runtime.errors import DataError, ModelFileError
from lenet_edge_runtime.spec import ModelSpec

MISTAKES = 10  # kept unless more are asked for


@dataclass(frozen=True)
class ClassScore:
    """One class, each figure a fraction.

    `accuracy` is the share of the class's own images that were recognised, as the literature's accuracy per digit;
    that is its recall. (The share of all images that are rightly called in or out of the class would be near 1 for
    any classifier of ten classes.) `precision` is 0 for a class that was never predicted; `support` counts its images.
    """

    label: str
    accuracy: float
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Average:
    """Precision, recall and F1 averaged over the classes."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Mistake:
    """An image that got the wrong class; `index` counts from 0 in the test set."""

    index: int
    true: str
    predicted: str
    probability: float  # of the predicted class
    true_probability: float


@dataclass(frozen=True)
class Evaluation:
    """A classifier on a whole test set.

    `accuracy_ci95` is Wilson's score interval (1927). `auc_roc` is one-vs-rest, the mean over the classes; None where
    a class has no test image. `log_loss` is the mean of -ln p of the true class in nats, with p clipped to
    [2.2e-16, 1 - 2.2e-16] (float64's epsilon): a certain mistake costs 36.04. `confusion_matrix[i][j]` counts images
    of class i that were called j. `mistakes` has the most confident first. `corruptions` is None where it was not asked
    for, `sets` are empty where the model knows none.
    """

    model: str
    format: str
    dataset: str
    images: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    per_class: list[ClassScore]
    macro: Average
    weighted: Average  # by support
    auc_roc: float | None
    log_loss: float
    calibration: Calibration
    confusion_matrix: list[list[int]]
    mistakes: list[Mistake]
    corruptions: Corruptions | None = None
    sets: tuple[LabelSets, ...] = ()


def evaluate(
    model: LoadedModel,
    spec: ModelSpec,
    data: ImageData,
    *,
    name: str,
    format_name: str,
    mistakes: int = MISTAKES,
    corrupted: int | None = None,
) -> Evaluation:
    """Run a model that `spec` describes on the test images of `data` and score it.

    `corrupted`: so many of them are also spoilt in every kind of MNIST-C. The labels may come in another order than
    the data's. Raises DataError for other labels, another image size, or one that cannot be spoilt, and ModelFileError
    for logits that are no numbers.
    """
    if corrupted is not None:
        check_shape(data.test_pixels.shape[1:])
    logits = logits_in_order(model, spec, data, name)
    found = score(logits, data.test_labels, data.labels, name, format_name, data.name, mistakes)
    in_order = replace(spec, labels=data.labels)
    found = replace(found, sets=measure_sets(softmax(logits), data.test_labels, in_order))
    if corrupted is None:
        return found

    def answered(pixels: Pixels) -> NDArray[np.float32]:
        return logits_in_order(model, spec, replace(data, test_pixels=pixels), name)

    return replace(found, corruptions=measure_corruptions(answered, data, corrupted))


def logits_in_order(model: LoadedModel, spec: ModelSpec, data: ImageData, name: str) -> NDArray[np.float32]:
    """Logits, float32 [n, classes], of the test images of `data`, columns in the order of its labels."""
    if data.test_pixels.shape[1:] != spec.pixel_shape or set(data.labels) != set(spec.labels):
        raise DataError(
            f"{data.name} has images {data.test_pixels.shape[1:]} of {', '.join(data.labels)}; {name} takes "
            f"{spec.pixel_shape} of {', '.join(spec.labels)}: choose another --dataset"
        )
    logits = model.logits(data.test_pixels)
    if not np.isfinite(logits).all():
        raise ModelFileError(
            f"{name} answers NaN or infinity on {data.name}: export it again, or check --mean and --std"
        )
    return logits[:, [spec.labels.index(label) for label in data.labels]]


def score(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    names: tuple[str, ...],
    model: str,
    format_name: str,
    dataset: str,
    mistakes: int = MISTAKES,
) -> Evaluation:
    """Score logits [n, classes] of images whose classes are `labels` [n], which index `names`."""
    classes = np.arange(len(names))
    probabilities, predicted = softmax(logits), logits.argmax(1)
    right = int((predicted == labels).sum())
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=classes, zero_division=0.0
    )
    return Evaluation(
        model=model,
        format=format_name,
        dataset=dataset,
        images=len(labels),
        accuracy=right / len(labels),
        accuracy_ci95=wilson_interval(right, len(labels)),
        per_class=[
            ClassScore(name, float(recall[i]), float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]))
            for i, name in enumerate(names)
        ],
        macro=_average(labels, predicted, classes, "macro"),
        weighted=_average(labels, predicted, classes, "weighted"),
        auc_roc=_auc_roc(labels, probabilities) if (support > 0).all() else None,
        log_loss=float(metrics.log_loss(labels, probabilities, labels=classes)),
        calibration=measure_calibration(probabilities, labels),
        confusion_matrix=metrics.confusion_matrix(labels, predicted, labels=classes).tolist(),
        mistakes=_most_confident_mistakes(probabilities, predicted, labels, names, mistakes),
    )


def most_frequent_confusions(result: Evaluation) -> list[tuple[str, str, int]]:
    """(true, predicted, times) of every confusion that happened, the most frequent first."""
    names = [row.label for row in result.per_class]
    found = [
        (names[i], names[j], count)
        for i, counts in enumerate(result.confusion_matrix)
        for j, count in enumerate(counts)
        if i != j and count
    ]
    return sorted(found, key=lambda item: -item[2])


def open_model(path: Path, trust: bool = False) -> tuple[str, LoadedModel, ModelSpec]:
    """An exported file of any format: the format's name, the model, and what the file says of itself."""
    from lenet_edge_exporters import open_file

    format_name, model = open_file(path, trust=trust)
    try:
        return format_name, model, ModelSpec.from_metadata(model.metadata)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None


def _average(labels: Any, predicted: Any, classes: Any, kind: str) -> Average:
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        labels, predicted, labels=classes, average=kind, zero_division=0.0
    )
    return Average(float(precision), float(recall), float(f1))


def _auc_roc(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    if probabilities.shape[1] == 2:  # the two one-vs-rest curves mirror each other; scikit-learn wants one column
        return float(metrics.roc_auc_score(labels, probabilities[:, 1]))
    classes = np.arange(probabilities.shape[1])
    return float(metrics.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro", labels=classes))


def _most_confident_mistakes(
    probabilities: NDArray[np.float64],
    predicted: NDArray[np.int64],
    labels: NDArray[np.int64],
    names: tuple[str, ...],
    count: int,
) -> list[Mistake]:
    wrong = np.flatnonzero(predicted != labels)
    confidence = probabilities[wrong, predicted[wrong]]
    chosen = wrong[np.argsort(-confidence, kind="stable")[:count]]
    return [
        Mistake(
            index=int(i),
            true=names[labels[i]],
            predicted=names[predicted[i]],
            probability=float(probabilities[i, predicted[i]]),
            true_probability=float(probabilities[i, labels[i]]),
        )
        for i in chosen
    ]
