"""Exported files against the PyTorch model on the test set, by paired evidence."""

from dataclasses import dataclass, replace
from pathlib import Path

from lenet_edge.data.image_data import ImageData
from lenet_edge.evaluation import statistics
from lenet_edge.evaluation.comparison import Verdict, compare, default_max_drop
from lenet_edge.evaluation.file_verification import check_data
from lenet_edge.runs.exported import weights_sha256_of
from lenet_edge.runs.opened import OpenedRun
from lenet_edge_exporters import FORMATS, LoadedModel, open_file
from lenet_edge_runtime import Classifier
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.sessions import sha256_of
from lenet_edge_runtime.spec import ModelSpec


@dataclass(frozen=True)
class Verification:
    """All files of one call, and what they were measured against."""

    reference: str  # what they were measured against, in words
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
    files: list[Path],
    opened: OpenedRun,
    data: ImageData,
    max_drop_pp: float | None,
    *,
    same_weights: bool,
    trust: bool = False,
) -> Verification:
    """Compare each file with the run's PyTorch model (`OpenedRun.float_model`) on the whole test set.

    A file passes when the upper end of the 95 % interval of its accuracy drop is at most `max_drop_pp` (None: see
    `default_max_drop`). With `same_weights` a file exported from other weights than the run's raises ModelFileError.
    `trust`: see `lenet_edge_exporters.open_file`.
    """
    run, spec = opened.run, opened.record.spec
    check_data(data, spec)
    models = [(path, *open_file(path, trust=trust)) for path in files]
    labels = data.test_labels
    for path, _, model in models:
        _check_contract(path, model, spec, sha256_of(run.weights_path) if same_weights else None)
    reference = opened.float_model.logits(data.test_pixels)
    right = int((reference.argmax(1) == data.test_labels).sum())
    if max_drop_pp is None:
        max_drop_pp = default_max_drop(right / len(data.test_labels), len(data.test_labels), strict=False)
    return Verification(
        reference=opened.record.reference,
        dataset=data.name,
        images=len(data.test_labels),
        max_drop_pp=max_drop_pp,
        reference_accuracy=right / len(data.test_labels),
        reference_ci95=statistics.wilson_interval(right, len(data.test_labels)),
        verdicts=[
            _with_proof(compare(str(path), name, model.logits(data.test_pixels), reference, labels, max_drop_pp), model)
            for path, name, model in models
        ],
    )


def _with_proof(verdict: Verdict, model: LoadedModel) -> Verdict:
    """Add what a file that carries evidence says of itself; a file whose evidence is broken does not pass."""
    if FORMATS[verdict.format].seal is None or not isinstance(model, Classifier):
        return verdict
    found = model.prove()
    return replace(verdict, proof=found, passed=verdict.passed and found.passed)


def _check_contract(path: Path, model: LoadedModel, spec: ModelSpec, weights_sha256: str | None) -> None:
    if weights_sha256 is not None and weights_sha256_of(model) != weights_sha256:
        raise ModelFileError(
            f"{path} was exported from other weights than those of the run; name its run by --run, or export it again"
        )
    if ModelSpec.from_metadata(model.metadata).pixel_shape != spec.pixel_shape:
        raise ModelFileError(f"{path} takes images of another size than the run's network; name its run by --run")
