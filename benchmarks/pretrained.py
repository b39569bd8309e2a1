"""Makes the networks that come with the package: the default recipe, trained with strangers and exported to int8.

    python benchmarks/pretrained.py                      # trains each of them, some minutes
    python benchmarks/pretrained.py --run mnist=RUN      # exports a finished run instead, as after a change of int8

Writes runtime/lenet_edge_runtime/pretrained/NAME.int8.onnx, and the run with its float32 weights to
lenet_edge/runs/pretrained/NAME/, from where `lenet-edge export pretrained:NAME` goes on.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from lenet_edge.artefacts.exporting import export_run
from lenet_edge.data.datasets import load_dataset
from lenet_edge.networks.recipes import DEFAULT_RECIPE, RECIPES, STRANGERS
from lenet_edge.runs.finding import pretrained_run
from lenet_edge.runs.opened import open_run
from lenet_edge.runs.run import Run
from lenet_edge.training.console_watcher import ConsoleWatcher
from lenet_edge.training.training import complete, start_record
from lenet_edge_runtime.pretrained_files import PRETRAINED, pretrained_file

KEPT = ("run.json", "weights.safetensors", "history.csv")


def trained(name: str, folder: Path, data_dir: Path | None, epochs: int | None) -> Run:
    """A run of the default recipe with strangers on this data set, seed 0."""
    data = load_dataset(name, data_dir)
    run = Run(folder)
    recipe = RECIPES[DEFAULT_RECIPE].changed(strangers=STRANGERS)
    run.write(start_record(recipe, data, device="cpu", epochs=epochs))
    with ConsoleWatcher() as watcher:
        complete(run, data, watcher, resume=False)
    return run


def keep(name: str, run: Run, data_dir: Path | None) -> None:
    """Put the run's weights and its int8 file, exported anew, into the packages."""
    target = pretrained_run(name).folder
    target.mkdir(parents=True, exist_ok=True)
    for file in KEPT:
        if run.folder.resolve() != target.resolve():
            shutil.copyfile(run.folder / file, target / file)
    with tempfile.TemporaryDirectory() as folder:
        (made,) = export_run(open_run(run, data_dir), ["int8"], out=Path(folder)).artifacts
        shutil.copyfile(made.path, pretrained_file(name))
    print(f"{name}: {pretrained_file(name).stat().st_size:,} bytes, {made.card}")


def main() -> None:
    """Train or take a run for each network, and keep it."""
    parser = argparse.ArgumentParser(description="Make the networks that come with the package.")
    parser.add_argument("names", nargs="*", help="of " + ", ".join(PRETRAINED))
    parser.add_argument("--run", action="append", default=[], metavar="NAME=RUN", help="a finished run to export")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--epochs", type=int, help="in place of the recipe's")
    arguments = parser.parse_args()
    runs = dict(item.split("=", 1) for item in arguments.run)
    for name in arguments.names or runs or PRETRAINED:
        if name in runs:
            keep(name, Run(Path(runs[name])), arguments.data_dir)
            continue
        with tempfile.TemporaryDirectory() as folder:
            keep(name, trained(name, Path(folder), arguments.data_dir, arguments.epochs), arguments.data_dir)


if __name__ == "__main__":
    main()
