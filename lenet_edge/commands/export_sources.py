"""Where what `lenet-edge export` exports comes from: a run, or what becomes one."""

from pathlib import Path
from typing import Any

from lenet_edge import console
from lenet_edge.networks.recipes import find_recipe, own_recipe


def run_to_export(run: Path | None, said: Any, model: str | None, dataset: str | None, data_dir: Path | None) -> Any:
    """The run that was named, or the one that given weights become."""
    from lenet_edge.artefacts.importing import import_weights
    from lenet_edge.data.datasets import load_dataset
    from lenet_edge.runs.finding import find_run
    from lenet_edge.runs.opened import open_run

    if run is None or said is None or dataset is None:
        return find_run(run, data_dir=data_dir)
    recipe = find_recipe(model) if model else None
    imported = import_weights(run, load_dataset(dataset, data_dir), recipe, said)
    if imported.finding:
        console.say(f"the weights are taken as {imported.variant}")
    console.say(f"the weights are now a run: {imported.run.folder}")
    return open_run(imported.run, data_dir)


def own_run(
    program: str,
    weights: Path | None,
    dataset: Any,  # checked by `check_own_options`
    data_dir: Path | None,
    mean: list[float] | None,
    std: list[float] | None,
    calibrate: bool,
) -> Any:
    """The run that a program's network becomes, with these weights or those that it has."""
    from lenet_edge.artefacts.own_network import run_of
    from lenet_edge.data.datasets import load_dataset
    from lenet_edge.runs.opened import open_run

    data = load_dataset(dataset, data_dir)
    means, deviations = (tuple(values) if values else None for values in (mean, std))
    found = run_of(own_recipe(program), data, weights, mean=means, std=deviations, calibrated=calibrate)
    console.say(f"the network is now a run: {found.folder}; commands that need its program want --net again")
    return open_run(found, data_dir)


def foreign_run(
    path: Any,
    dataset: Any,
    data_dir: Path | None,
    labels: str | None,
    mean: list[float] | None,
    std: list[float] | None,
    accept_accuracy: bool,
    calibrate: bool,
) -> Any:
    """The run that another tool's ONNX file becomes."""
    from lenet_edge.artefacts.foreign_file import data_for, import_file
    from lenet_edge.evaluation.foreign_accuracy import read_labels
    from lenet_edge.runs.opened import open_run

    means, deviations = (tuple(values) if values else None for values in (mean, std))
    names = read_labels(labels) if labels else None
    data = data_for(path, dataset, data_dir)
    found = import_file(
        path, data, labels=names, mean=means, std=deviations, accept_accuracy=accept_accuracy, calibrated=calibrate
    )
    console.say(f"the file is now a run: {found.folder}")
    return open_run(found, data_dir)
