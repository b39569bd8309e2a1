"""From a finished run to a new one that fine-tunes its network with fake quantization (`train --qat`)."""

from dataclasses import replace
from pathlib import Path

import torch

from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.models import Network
from lenet_edge.networks.recipes import Recipe
from lenet_edge.runs import checkpoints
from lenet_edge.runs.finding import find_run
from lenet_edge.runs.history import write_history
from lenet_edge.runs.opened import OpenedRun
from lenet_edge.runs.record import FakeQuantization, RunRecord
from lenet_edge.runs.run import Run, create_run
from lenet_edge.training.quantization_aware import FakeQuantized, fold_batch_norm
from lenet_edge.training.trainer import Trainer
from lenet_edge.training.training import start_record
from lenet_edge_runtime.errors import RunError
from lenet_edge_runtime.sessions import sha256_of

EPOCHS = 3
MINIMUM_STEPS = 100  # a set of a thousand images has 8 steps an epoch
LEARNING_RATE = 1e-4  # the peak: of 1e-4, 1e-3 and 1e-2 the best on the validation images of Fashion-MNIST
FIRST_IMAGES = 512  # of the training split: the ranges start with their maxima


def find_source(given: Path | None, data_dir: Path | None = None) -> OpenedRun:
    """The run to start from, or the latest finished one; RunError where there is none or it is no float32 run."""
    found = find_run(given, data_dir=data_dir)
    if found.record.quantization is not None:
        raise RunError(
            f"{found.run.folder} was fine-tuned with fake quantization already; "
            f"name the run to start from by --from RUN"
        )
    return found


def start_fine_tuning(
    source: OpenedRun,
    data: ImageData,
    *,
    out: Path | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> Run:
    """Make a run that stands before its first epoch; `train(run, ..., resume=True)` does the rest.

    It has the source's split and seed: under another one the network would have seen the validation images.
    """
    before = source.record
    folded = fold_batch_norm(source.net)
    recipe = _recipe(before.recipe, folded, batch_size, learning_rate)
    record = start_record(recipe, data, seed=before.seed, device=device, threads=threads, epochs=epochs)
    quantization = FakeQuantization(sha256_of(source.run.weights_path), before.metrics.get("test_accuracy"))
    record = replace(record, spec=before.spec, quantization=quantization)
    trainer = _trainer(record, data, folded)
    with create_run(out, f"{recipe.name}-{data.name}-qat") as run:
        checkpoints.save_weights(run.source_path, folded)
        write_history(run, [])
        checkpoints.save_state(run.checkpoint_path, trainer.state())
        run.remember_data(data)
        run.write(record)  # last: a folder without it is no run yet
    return run


def _recipe(recipe: Recipe, net: Network, batch_size: int | None, learning_rate: float | None) -> Recipe:
    return replace(
        recipe,
        summary=f"{recipe.name} without BatchNorm, fine-tuned with fake quantization",
        model=net.config,
        epochs=EPOCHS,
        minimum_steps=MINIMUM_STEPS,
        learning_rate=LEARNING_RATE if learning_rate is None else learning_rate,
        batch_size=batch_size or recipe.batch_size,
    )


def _trainer(record: RunRecord, data: ImageData, net: Network) -> Trainer:
    """A trainer at epoch 0 with these weights, whose ranges are the maxima over some training images."""
    trainer = Trainer(record, data)
    for module in (trainer.net, trainer.average.module):
        assert isinstance(module, FakeQuantized)
        module.net.load_state_dict(net.state_dict())
        pixels = trainer.train_pixels[:FIRST_IMAGES].float()
        padded = torch.nn.functional.pad(pixels, (record.spec.padding,) * 4)
        module.observe(padded * trainer.input.scale + trainer.input.shift)
    return trainer
