"""From a run to its exported files, each compared with the PyTorch model as it is written."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet_edge.artefacts import model_card, sbom
from lenet_edge.artefacts.calibration import CalibrationDraws, Int8Plan, draw, repeat_calibration
from lenet_edge.artefacts.layer_selection import LayerDamage, Selection, layer_sensitivity, select_layers
from lenet_edge.artefacts.plots import draw_selection
from lenet_edge.data.image_data import ImageData
from lenet_edge.evaluation.comparison import card_of, compare, default_max_drop
from lenet_edge.runs.opened import OpenedRun
from lenet_edge_exporters import ExportJob, export, formats, manifest
from lenet_edge_exporters.c_name import chosen
from lenet_edge_exporters.export_job import DEFAULT_OPSET, Int8Options, LoadedModel, LogitType, Measurement
from lenet_edge_exporters.formats import Artifact
from lenet_edge_exporters.packages import Package, PackageKind, write
from lenet_edge_exporters.packages import chosen as chosen_packages
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.extras import require
from lenet_edge_runtime.sessions import sha256_of
from lenet_edge_runtime.spec import InputType

FROM_TORCH = ("torchscript", "pt2")
CHECK_IMAGES = 1000  # of the validation split


@dataclass(frozen=True)
class ExportReport:
    """The files that were written; every one agrees with `reference`, or GateError was raised instead.

    `selection` and `calibration_draws` are there where the layers of int8 were chosen by measurement, and where
    calibration was repeated; `sensitivity`, the most harmful layer first, where the int8 file was rejected.
    """

    run: str
    reference: str  # what they were compared with, in words
    artifacts: list[Artifact]
    model_card: Path
    selection: Selection | None = None
    calibration_draws: CalibrationDraws | None = None
    sensitivity: list[LayerDamage] | None = None
    packages: tuple[Package, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether none was rejected for its accuracy on the test set."""
        return all(artifact.passed for artifact in self.artifacts)


def export_run(
    opened: OpenedRun,
    format_names: list[str],
    *,
    out: Path | None = None,
    opset: int = DEFAULT_OPSET,
    max_drop_pp: float | None = None,
    int8: Int8Plan | None = None,
    input_type: InputType = "uint8",
    tflite_logits: LogitType = "int8",
    c_name: str | None = None,
    packages: Sequence[str] = (),
    bill: bool = False,
) -> ExportReport:
    """Export a finished run into `out` (the run's own export folder by default): one file a format and a model card.

    A file whose accuracy drop on the test set may exceed `max_drop_pp` (None: `default_max_drop`) is rejected.
    With `input_type` "float32" the files take normalised images (`lenet_edge_runtime.images.normalise`). `c_name`:
    with which the names in C begin; ValueError for one that cannot be, or without the format c. `packages` are written
    beside the folders that they are made from (`lenet_edge_exporters.packages`), unless those were rejected; ValueError
    for one that there is not, or without its format. With `bill` a bill of materials is written, too (`sbom.py`).
    """
    record, data = opened.record, opened.data
    if record.is_foreign:
        check_foreign_formats(format_names)
    formats.check_tools(format_names)
    name_in_c = chosen(c_name, format_names)
    kinds = chosen_packages(packages, format_names)
    if bill:
        require("sbom", "a bill of materials")
    plan = int8 or Int8Plan()
    job = replace(export_job(opened, opset, plan), input=input_type, tflite_logits=tflite_logits, c_name=name_in_c)
    undamaged = opened.float_model.logits(data.test_pixels)
    job = replace(job, measure=measurement_on(data, undamaged, max_drop_pp, record.reference))
    reference = opened.model.logits(job.check_pixels)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{record.recipe.name}-{record.dataset}")
    folder = out or opened.run.export_folder
    train, held_out = data.split(record.seed)
    validation = data.train_pixels[held_out], data.train_labels[held_out]
    selection = draws = None
    if "int8" in format_names and plan.layers == "auto":
        selection = select_layers(job, *validation)
        job = replace(job, int8=replace(job.int8, layers=selection.chosen.nodes))
        draw_selection(selection, f"{record.recipe.name} on {record.dataset}", folder / f"{stem}.int8-layers.png")
    if "int8" in format_names and plan.draws:
        draws = repeat_calibration(job, data.train_pixels[train], plan, *validation)
    artifacts = [
        export(job, name, folder / f"{stem}{formats.FORMATS[name].suffix}", reference) for name in format_names
    ]
    rejected_int8 = any(item.format == "int8" and not item.passed for item in artifacts)
    sensitivity = layer_sensitivity(job, *validation) if rejected_int8 else None
    card = model_card.write(folder, record, artifacts, input_type)
    packed = _packed(kinds, artifacts)
    written = [card, *written_files(artifacts), *(path for package in packed for path in package.written)]
    if bill:
        weights = str(job.provenance["weights_sha256"])
        written.append(sbom.write(folder / f"{stem}{sbom.SUFFIX}", record, artifacts, weights))
    manifest.add(opened.run.folder if out is None else out, written)
    return ExportReport(opened.run.name, record.reference, artifacts, card, selection, draws, sensitivity, packed)


def _packed(kinds: Sequence[PackageKind], artifacts: Sequence[Artifact]) -> tuple[Package, ...]:
    """The packages of what passed; what was rejected is not handed on."""
    passed = {item.format: item.path for item in artifacts if item.passed}
    return tuple(write(kind, passed[kind.format]) for kind in kinds if kind.format in passed)


def check_foreign_formats(format_names: list[str]) -> None:
    """Raise ModelFileError for formats that are made of a network in PyTorch, where an ONNX file is exported."""
    if found := [name for name in format_names if name in FROM_TORCH]:
        raise ModelFileError(
            f"{' and '.join(found)}: made of a network in PyTorch, and behind another tool's ONNX file there is none; "
            f"choose from {', '.join(name for name in formats.FORMATS if name not in FROM_TORCH)}"
        )


def written_files(artifacts: list[Artifact]) -> list[Path]:
    """The artifacts' files: of a folder those that its format writes, not what its user keeps there."""
    return [path for item in artifacts for path in formats.FORMATS[item.format].files_at(item.path)]


def measurement_on(
    data: ImageData, reference: NDArray[np.float32], max_drop_pp: float | None, name: str = "the PyTorch model"
) -> Callable[[LoadedModel], Measurement]:
    """What measures a file on the whole test set, where the network called `name` gave the logits `reference`."""
    accuracy = int((reference.argmax(1) == data.test_labels).sum()) / len(data.test_labels)
    gate = default_max_drop(accuracy, len(data.test_labels), strict=True) if max_drop_pp is None else max_drop_pp

    def measure(model: LoadedModel) -> Measurement:
        verdict = compare("", "", model.logits(data.test_pixels), reference, data.test_labels, gate)
        reason = (
            f"right on {100 * verdict.accuracy:.2f} % of {len(data.test_labels)} test images where {name} "
            f"is on {100 * accuracy:.2f} %: the drop may reach {verdict.drop_upper95_pp:.3f} percentage points, and "
            f"{gate:g} is allowed (--max-drop)"
        )
        card = card_of(verdict, accuracy, data, gate)
        return Measurement(card, verdict.passed, None if verdict.passed else reason)

    return measure


def export_job(opened: OpenedRun, opset: int = DEFAULT_OPSET, int8: Int8Plan | None = None) -> ExportJob:
    """What the exporters need to know of a run: checked on validation images, calibrated on training images."""
    record, data = opened.record, opened.data
    train, held_out = data.split(record.seed)
    plan = int8 or Int8Plan()
    seed = record.seed if plan.seed is None else plan.seed
    return ExportJob(
        net=opened.net,
        spec=record.spec,
        check_pixels=data.train_pixels[held_out[:CHECK_IMAGES]],
        calibration_pixels=data.train_pixels[draw(train, plan.images, seed)],
        int8=Int8Options(plan.method, "linear" if plan.layers == "linear" else "all", seed),
        activation_ranges=record.quantization.activation_ranges if record.quantization else (),
        opset=opset,
        provenance={
            "recipe": record.recipe.name,
            "parameters": record.metrics["parameters"],
            "dataset": record.dataset,
            "data_md5s": record.data_md5s,
            "weights_sha256": sha256_of(opened.run.weights_path),
        },
    )
