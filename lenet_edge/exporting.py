"""From a run to its exported files, each compared with the PyTorch model as it is written."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from lenet_edge import checkpoints
from lenet_edge.calibration import CalibrationDraws, Int8Plan, draw, repeat_calibration
from lenet_edge.datasets import ImageData, load_dataset, split_indices
from lenet_edge.layer_selection import Selection, select_layers
from lenet_edge.models import LeNet5, deployed_parameters
from lenet_edge.plots import draw_selection
from lenet_edge.recipes import Recipe
from lenet_edge.runs import Run, RunRecord, create_run, now
from lenet_edge.training import VALIDATION_SHARE
from lenet_edge.weights import load_foreign_weights
from lenet_edge_exporters import ExportJob, export, formats
from lenet_edge_exporters.formats import Artifact
from lenet_edge_exporters.job import DEFAULT_OPSET, Int8Options
from lenet_edge_exporters.pixels import TorchModel, torch_model
from lenet_edge_runtime.errors import DataError
from lenet_edge_runtime.host import installed_versions
from lenet_edge_runtime.sessions import sha256_of
from lenet_edge_runtime.spec import ModelSpec

CHECK_IMAGES = 1000  # of the validation split


@dataclass(frozen=True)
class ExportReport:
    """The files that were written; all of them agree with the PyTorch model, or GateError was raised instead.

    `selection` and `calibration_draws` are there where the layers of int8 were chosen by measurement, and where
    calibration was repeated.
    """

    run: str
    artifacts: list[Artifact]
    selection: Selection | None = None
    calibration_draws: CalibrationDraws | None = None


def export_run(
    run: Run,
    format_names: list[str],
    *,
    out: Path | None = None,
    opset: int = DEFAULT_OPSET,
    data_dir: Path | None = None,
    int8: Int8Plan | None = None,
) -> ExportReport:
    """Export a finished run into `out` (the run's own export folder by default), one file a format."""
    record = run.read()
    data = load_run_data(run, record, data_dir)
    plan = int8 or Int8Plan()
    job = export_job(run, record, data, opset, plan)
    reference = torch_model(job.net, job.spec).logits(job.check_pixels)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{record.recipe.name}-{record.dataset}")
    folder = out or run.export_folder
    train, held_out = split_indices(data.train_labels, VALIDATION_SHARE, record.seed)
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
    return ExportReport(run.name, artifacts, selection, draws)


def export_job(
    run: Run, record: RunRecord, data: ImageData, opset: int = DEFAULT_OPSET, int8: Int8Plan | None = None
) -> ExportJob:
    """What the exporters need to know of a run: checked on validation images, calibrated on training images."""
    net = load_net(run, record)
    train, held_out = split_indices(data.train_labels, VALIDATION_SHARE, record.seed)
    plan = int8 or Int8Plan()
    seed = record.seed if plan.seed is None else plan.seed
    return ExportJob(
        net=net,
        spec=record.spec,
        check_pixels=data.train_pixels[held_out[:CHECK_IMAGES]],
        calibration_pixels=data.train_pixels[draw(train, plan.images, seed)],
        int8=Int8Options(plan.method, "linear" if plan.layers == "linear" else "all", seed),
        opset=opset,
        provenance={
            "recipe": record.recipe.name,
            "parameters": deployed_parameters(net),
            "dataset": record.dataset,
            "data_md5s": record.data_md5s,
            "weights_sha256": sha256_of(run.weights_path),
        },
    )


def load_net(run: Run, record: RunRecord) -> nn.Module:
    """The run's network with its final weights, in evaluation mode."""
    net = LeNet5(record.recipe.model)
    checkpoints.load_weights(run.weights_path, net)
    return net.eval()


def run_model(run: Run, threads: int = 1) -> TorchModel:
    """The run's network in PyTorch, taking raw pixels: what every exported file is measured against."""
    record = run.read()
    return torch_model(load_net(run, record), record.spec, threads)


def load_run_data(run: Run, record: RunRecord, data_dir: Path | None) -> ImageData:
    """The data that the run was trained on; raise DataError where it is not the same any more."""
    data = load_dataset(run.dataset_argument(), data_dir)
    if data.md5s != record.data_md5s:
        raise DataError(f"the images of {record.dataset} are not those that {run.folder} was trained on; train again")
    return data


def import_weights(
    path: Path,
    recipe: Recipe,
    data: ImageData,
    *,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    out: Path | None = None,
) -> Run:
    """Make a run of weights that were trained elsewhere, so that it exports and verifies like any other."""
    model = replace(recipe.model, classes=len(data.labels), channels=data.train_pixels.shape[1])
    net = LeNet5(model)
    load_foreign_weights(path, net, recipe.name)
    _, _, height, width = data.train_pixels.shape
    spec = ModelSpec(data.labels, height, width, mean or data.mean, std or data.std, recipe.padding, data.polarity)
    record = RunRecord(
        status="imported",
        created=now(),
        recipe=replace(recipe, model=model),
        dataset=data.name,
        data_md5s=dict(data.md5s),
        spec=spec,
        seed=0,
        threads=1,
        device="cpu",
        versions=installed_versions(("lenet-edge", "torch")),
        metrics={"parameters": deployed_parameters(net)},
    )
    run = create_run(out, f"{recipe.name}-{data.name}-imported")
    checkpoints.save_weights(run.weights_path, net)
    run.remember_data(data)
    run.write(record)
    return run
