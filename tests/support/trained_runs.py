"""Runs trained for tests, and what was exported of them. What trains is imported late: a device has no torch."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from lenet_edge.data.datasets import load_dataset
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.recipes import RECIPES
from lenet_edge.runs.run import Run
from lenet_edge_exporters import FORMATS, ExportJob

# Formats that the train extra alone makes and runs; C, WebAssembly and TFLite need more, and have tests of their own.
EVERYWHERE = [name for name, row in FORMATS.items() if row.backend in ("torchscript", "pytorch", "onnxruntime")]
EPOCHS = 12  # about a hundred steps: enough for 97 % of the digits


def make_run(folder: Path, recipe: str, data: ImageData, epochs: int = EPOCHS) -> Run:
    from lenet_edge.artefacts.exporting import export_run
    from lenet_edge.runs.opened import open_run
    from lenet_edge.training.training import start_record, train
    from lenet_edge.training.watcher import Watcher

    folder.mkdir(parents=True)
    run = Run(folder)
    run.write(start_record(RECIPES[recipe], data, device="cpu", threads=1, epochs=epochs))
    train(run, data, Watcher())
    export_run(open_run(run), EVERYWHERE, max_drop_pp=100)  # what the gate does is tested apart
    return run


def main(folder: Path) -> None:
    """Make the runs that `conftest.py` takes where LENET_EDGE_TEST_RUNS names their folder."""
    for recipe in ("lenet5", "lenet5-classic"):
        make_run(folder / f"{recipe}-digits-1", recipe, load_dataset("digits"))


def exported(run: Run, format_name: str) -> Path:
    (path,) = (
        path
        for path in run.export_folder.iterdir()
        if path.name.removeprefix(f"{run.read().recipe.name}-digits") == FORMATS[format_name].suffix
    )
    return path


def small_digits(data: ImageData, images: int) -> ImageData:
    """The first images of each part: for tests in which training is only a means."""
    order = np.argsort(np.arange(images) % 10, kind="stable")
    by_class = np.concatenate([np.flatnonzero(data.train_labels == label)[: images // 10] for label in range(10)])
    chosen = by_class[order]
    return replace(data, train_pixels=data.train_pixels[chosen], train_labels=data.train_labels[chosen])


def briefly_trained(data: ImageData, recipe: str) -> ExportJob:
    """One epoch on a sixth of the images: one to three seconds."""
    from lenet_edge.training.trainer import Trainer
    from lenet_edge.training.training import start_record
    from lenet_edge.training.watcher import Watcher

    part = replace(data, train_pixels=data.train_pixels[:10_000], train_labels=data.train_labels[:10_000])
    record = start_record(RECIPES[recipe], part, device="cpu", threads=1, epochs=1)
    trainer = Trainer(record, part)
    trainer.train_epoch(Watcher())
    some = part.train_pixels[:512]
    return ExportJob(trainer.final_net.eval(), record.spec, check_pixels=some, calibration_pixels=some)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
