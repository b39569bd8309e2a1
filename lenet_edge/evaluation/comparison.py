"""One exported file against the PyTorch model on the same images: figures, gate, and the card that the file carries."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge.data.image_data import ImageData
from lenet_edge.evaluation import statistics
from lenet_edge_runtime.proof import Proof


@dataclass(frozen=True)
class Verdict:
    """One file against the PyTorch model on the same test images. `pp`: percentage points of accuracy."""

    path: str
    format: str
    accuracy: float
    agreement: float  # share of images on which both give the same class
    max_abs_logit_difference: float
    accuracy_drop_pp: float
    drop_lower95_pp: float  # ends of the 95 % interval for paired data
    drop_upper95_pp: float
    mcnemar_p: float
    passed: bool
    proof: Proof | None = None  # of a format that carries its own evidence


def default_max_drop(accuracy: float, images: int, *, strict: bool) -> float:
    """The gate where the user names none, in percentage points.

    `strict`, at export: 0.10 for nets above 97 %, 0.30 below; otherwise 0.30. A small test set cannot show so little:
    there it is half as much again as what a file gets that gives the very same answers.
    """
    wanted = strict_max_drop(accuracy) if strict else 0.30
    return max(wanted, round(1.5 * smallest_provable_drop(images), 2))


def strict_max_drop(accuracy: float) -> float:
    """How much accuracy int8 may cost, in percentage points: less where few images are wrong at all."""
    return 0.10 if accuracy > 0.97 else 0.30


def smallest_provable_drop(images: int) -> float:
    """The upper bound, in percentage points, that a file with the very same answers gets on so many images."""
    return 100 * statistics.paired_drop_interval(0, 0, images)[1]


def card_of(verdict: Verdict, reference_accuracy: float, data: ImageData, max_drop_pp: float) -> dict[str, Any]:
    """What a file says of its own accuracy: measured on which test set, against what, with which certainty."""
    images = len(data.test_labels)
    return {
        "dataset": data.name,
        "split": "test",
        "images": images,
        "accuracy": verdict.accuracy,
        "accuracy_ci95": statistics.wilson_interval(round(verdict.accuracy * images), images),
        "pytorch_accuracy": reference_accuracy,
        "agreement": verdict.agreement,
        "accuracy_drop_pp": verdict.accuracy_drop_pp,
        "drop_ci95_pp": [verdict.drop_lower95_pp, verdict.drop_upper95_pp],
        "mcnemar_p": verdict.mcnemar_p,
        "max_drop_pp": max_drop_pp,
    }


def compare(
    path: str,
    format_name: str,
    logits: NDArray[np.float32],
    reference: NDArray[np.float32],
    labels: NDArray[np.int64],
    max_drop_pp: float,
) -> Verdict:
    """Set logits [n, classes] beside the reference's on the same images, whose classes are `labels` [n]."""
    right, reference_right = logits.argmax(1) == labels, reference.argmax(1) == labels
    lost, gained = int((reference_right & ~right).sum()), int((right & ~reference_right).sum())
    low, high = statistics.paired_drop_interval(lost, gained, len(labels))
    return Verdict(
        path=path,
        format=format_name,
        accuracy=int(right.sum()) / len(labels),
        agreement=int((logits.argmax(1) == reference.argmax(1)).sum()) / len(labels),
        max_abs_logit_difference=float(np.abs(logits - reference).max()),
        accuracy_drop_pp=100 * (lost - gained) / len(labels),
        drop_lower95_pp=100 * low,
        drop_upper95_pp=100 * high,
        mcnemar_p=statistics.mcnemar_exact(lost, gained),
        passed=bool(np.isfinite(logits).all()) and 100 * high <= max_drop_pp,
    )
