"""Exported files against the PyTorch model on the test set, by paired evidence."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge import statistics
from lenet_edge.datasets import ImageData
from lenet_edge.reference import run_model
from lenet_edge.runs import RUNS, Run
from lenet_edge_exporters import FORMATS, LoadedModel, open_file
from lenet_edge_runtime.errors import DataError, ModelFileError, RunError
from lenet_edge_runtime.sessions import sha256_of
from lenet_edge_runtime.spec import PREFIX, ModelSpec


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


@dataclass(frozen=True)
class Verification:
    """All files of one call, and what they were measured against."""

    dataset: str
    images: int
    max_drop_pp: float
    reference_accuracy: float
    reference_ci95: tuple[float, float]
    verdicts: list[Verdict]

    @property
    def passed(self) -> bool:
        """Whether every file holds the gate."""
        return all(verdict.passed for verdict in self.verdicts)


def verify(
    files: list[Path], run: Run, data: ImageData, max_drop_pp: float | None, *, same_weights: bool
) -> Verification:
    """Compare each file with the run's PyTorch model on the whole test set.

    A file passes when the upper end of the 95 % interval of its accuracy drop is at most `max_drop_pp` (None: see
    `default_max_drop`). With `same_weights` a file exported from other weights than the run's raises ModelFileError.
    """
    spec = run.read().spec
    if data.test_pixels.shape[1:] != spec.pixel_shape or len(data.labels) != len(spec.labels):
        raise DataError(
            f"{data.name} has {len(data.labels)} classes of images {data.test_pixels.shape[1:]}, the model takes "
            f"{len(spec.labels)} of {spec.pixel_shape}; choose another --dataset"
        )
    models = [(path, *open_file(path)) for path in files]
    for path, _, model in models:
        _check_contract(path, model, spec, sha256_of(run.weights_path) if same_weights else None)
    reference = run_model(run).logits(data.test_pixels)
    right = int((reference.argmax(1) == data.test_labels).sum())
    if max_drop_pp is None:
        max_drop_pp = default_max_drop(right / len(data.test_labels), len(data.test_labels), strict=False)
    return Verification(
        dataset=data.name,
        images=len(data.test_labels),
        max_drop_pp=max_drop_pp,
        reference_accuracy=right / len(data.test_labels),
        reference_ci95=statistics.wilson_interval(right, len(data.test_labels)),
        verdicts=[
            compare(str(path), name, model.logits(data.test_pixels), reference, data.test_labels, max_drop_pp)
            for path, name, model in models
        ],
    )


def default_max_drop(accuracy: float, images: int, *, strict: bool) -> float:
    """The gate where the user names none, in percentage points.

    `strict`, at export: 0.10 for nets above 97 %, 0.30 below; otherwise 0.30. A small test set cannot show so little:
    there it is half as much again as what a file gets that gives the very same answers.
    """
    wanted = 0.10 if strict and accuracy > 0.97 else 0.30
    return max(wanted, round(1.5 * smallest_provable_drop(images), 2))


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


def exported_files(run: Run) -> list[Path]:
    """The files in the run's export folder, in the order of the table of formats."""
    found = [
        path
        for row in FORMATS.values()
        for path in sorted(run.export_folder.glob(f"*{row.suffix}"))
        if ".rejected" not in path.suffixes
        and not any(
            path.name.endswith(other.suffix) for other in FORMATS.values() if len(other.suffix) > len(row.suffix)
        )
    ]
    if not found:
        raise ModelFileError(f"{run.folder} has no exported files; run 'lenet-edge export {run.folder} --int8' first")
    return found


def run_of(files: list[Path]) -> Run:
    """The run that the first file was exported from: by the weights' hash that the file carries.

    Looked for among the folders above the file and in the runs folder; raises RunError where it is not found.
    """
    _, model = open_file(files[0])
    wanted = _weights_sha256(model)
    above = [Run(folder) for folder in files[0].resolve().parents]
    for run in [*above, *(Run(path.parent) for path in sorted(RUNS.glob("*/run.json")))]:
        if wanted is not None and run.weights_path.is_file() and sha256_of(run.weights_path) == wanted:
            return run
    raise RunError(f"{files[0]} was exported from none of the runs in {RUNS}/; name its run by --run")


def _weights_sha256(model: LoadedModel) -> str | None:
    found: str | None = json.loads(model.metadata.get(PREFIX + "weights_sha256", "null"))
    return found


def _check_contract(path: Path, model: LoadedModel, spec: ModelSpec, weights_sha256: str | None) -> None:
    if weights_sha256 is not None and _weights_sha256(model) != weights_sha256:
        raise ModelFileError(
            f"{path} was exported from other weights than those of the run; name its run by --run, or export it again"
        )
    if ModelSpec.from_metadata(model.metadata).pixel_shape != spec.pixel_shape:
        raise ModelFileError(f"{path} takes images of another size than the run's network; name its run by --run")
