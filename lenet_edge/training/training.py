"""Training a run: its record, its epochs with a checkpoint after each, its weights and its figures."""

import math
import platform
import statistics
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch

from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.models import Network, deployed_parameters
from lenet_edge.networks.recipes import Recipe
from lenet_edge.runs import checkpoints
from lenet_edge.runs.history import Epoch, read_history, write_history
from lenet_edge.runs.record import Device, RunRecord, fitted_to, now, spec_for
from lenet_edge.runs.run import Run, create_run
from lenet_edge.training.confidence import calibrate
from lenet_edge.training.curves import draw_curves
from lenet_edge.training.distributed import ALONE, Team
from lenet_edge.training.optimization import epochs_for
from lenet_edge.training.quantization_aware import FakeQuantized
from lenet_edge.training.refusal import refused_shares
from lenet_edge.training.trainer import Assignment, Trainer, accuracy_of, logits_of
from lenet_edge.training.watcher import TrainingStopped, Watcher
from lenet_edge_runtime.errors import TrainingError
from lenet_edge_runtime.host import installed_versions
from lenet_edge_runtime.near_names import did_you_mean

MOST_TRAINING_IMAGES = 10_000  # evenly spaced, of which `train_accuracy` is that: all of MNIST's took two seconds


def resolve_device(name: str) -> torch.device:
    """`auto` (CUDA, else MPS, else CPU), or the named device; raises TrainingError where it is not there."""
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if present[kind]))
    if not present.get(name, False):
        here = ", ".join(kind for kind, is_there in present.items() if is_there)
        near = did_you_mean(name, ("auto", *present))
        raise TrainingError(f"device {name!r} is not usable with this torch on this machine; {near}there is: {here}")
    return torch.device(name)


def start_record(
    recipe: Recipe,
    data: ImageData,
    *,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    epochs: int | None = None,
) -> RunRecord:
    """The record of a run about to start, with all that its training depends on made explicit."""
    train, _ = data.split(seed)
    used = torch.get_num_threads() if threads is None else threads
    return RunRecord(
        status="training",
        created=now(),
        recipe=replace(fitted_to(recipe, data), epochs=epochs or epochs_for(recipe, len(train))),
        dataset=data.name,
        data_md5s=dict(data.md5s),
        spec=spec_for(recipe, data),
        seed=seed,
        threads=used,
        device=cast(Device, resolve_device(device).type),
        versions={
            "python": platform.python_version(),
            **installed_versions(("lenet-edge", "torch", "numpy")),
        },
    )


def start_run(
    recipe: Recipe,
    data: ImageData,
    out: Path | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    epochs: int | None = None,
) -> Run:
    """Make the folder of a run that is about to start, `out` or the first free `runs/RECIPE-DATASET-N`."""
    record = start_record(recipe, data, seed=seed, device=device, threads=threads, epochs=epochs)
    with create_run(out, f"{recipe.name}-{data.name}") as run:
        run.remember_data(data)
        run.write(record)  # last: a folder without it is no run yet
    return run


def complete(run: Run, data: ImageData, watcher: Watcher, *, resume: bool, team: Team = ALONE) -> RunRecord:
    """Train the run to its end under its lock, from its start or its checkpoint."""
    with run.locked():
        return train(run, data, watcher, resume=resume, team=team)


def train(run: Run, data: ImageData, watcher: Watcher, *, resume: bool = False, team: Team = ALONE) -> RunRecord:
    """Train the run as its record says, from its start or its checkpoint, and evaluate it once on the test set.

    Where it was killed before its first checkpoint, resuming starts it anew. The curves are drawn before the record
    says that the run is finished, so that a finished run has all its files. With a team its followers train along; this
    process has to be the one that leads. Writes a checkpoint at every epoch's end. Raises TrainingStopped on a signal
    and TrainingError on a loss that is no number; the last good checkpoint is on disk then.
    """
    record = replace(run.read(), processes=team.size)
    run.write(record)
    trainer = Trainer(record, data, team)
    history: list[Epoch] = []
    if resume and not _is_before_first_checkpoint(run, record):
        trainer.restore(checkpoints.load_state(run.checkpoint_path))
        history = read_history(run)[: trainer.epoch]
        _keep_best(run, trainer, history)  # a kill may have come between the checkpoint and this
    else:
        write_history(run, history)
        checkpoints.save_state(run.checkpoint_path, trainer.state())
    if team.size > 1:
        team.send(Assignment(run.dataset_argument(record), record, trainer.state(), run.image_form(record)))
    while not is_over(history, record.recipe):
        try:
            history.append(trainer.train_epoch(watcher))
        except TrainingStopped as stopped:
            raise TrainingStopped(
                f"{stopped}; {trainer.epoch} of {record.recipe.epochs} epochs are kept; go on with: "
                f"lenet-edge train --resume --out {run.folder}",
                stopped.exit_code - 128,
            ) from None
        write_history(run, history)
        checkpoints.save_state(run.checkpoint_path, trainer.state())
        _keep_best(run, trainer, history)
        watcher.epoch_done(history[-1], record.recipe.epochs)
    final = trainer.final_net
    if record.recipe.patience is not None:
        checkpoints.load_weights(run.weights_path, final)
    quantized = final if isinstance(final, FakeQuantized) else None
    answers = logits_of(final, trainer.spec, trainer.val_pixels).cpu().numpy()
    net = cast(Network, quantized.net if quantized else final)
    temperature, spec = calibrate(net, trainer.spec, answers, trainer.val_labels.cpu().numpy())
    checkpoints.save_weights(run.weights_path, net)
    title = f"{record.recipe.name} on {record.dataset}, seed {record.seed}"
    draw_curves(history, title, run.curves_path)
    metrics = {**_metrics(trainer, history, data), "temperature": round(temperature or 1.0, 4)}
    if record.recipe.strangers:
        metrics |= refused_shares(final, spec, data, trainer.device)
    return run.finish(metrics, quantized.ranges() if quantized else (), spec)


def best_epoch(history: list[Epoch]) -> int:
    """The first of the epochs with the greatest validation accuracy; 0 before there is one."""
    return max(range(len(history)), key=lambda index: history[index].val_accuracy) + 1 if history else 0


def is_over(history: list[Epoch], recipe: Recipe) -> bool:
    """Whether all epochs are done, or the validation accuracy has not risen for as many as the recipe is patient."""
    waited = len(history) - best_epoch(history)
    return len(history) >= recipe.epochs or (recipe.patience is not None and waited >= recipe.patience)


def _keep_best(run: Run, trainer: Trainer, history: list[Epoch]) -> None:
    if trainer.recipe.patience is not None and history and best_epoch(history) == len(history):
        checkpoints.save_weights(run.weights_path, trainer.final_net)


def _is_before_first_checkpoint(run: Run, record: RunRecord) -> bool:
    """Whether there is nothing to resume from but the record; of `train --qat` the checkpoint comes before that."""
    return record.quantization is None and not run.checkpoint_path.exists()


def _metrics(trainer: Trainer, history: list[Epoch], data: ImageData) -> dict[str, float | int]:
    kept = history[-1 if trainer.recipe.patience is None else best_epoch(history) - 1]
    pixels, labels = trainer.on_device(data.test_pixels, data.test_labels)
    logits = logits_of(trainer.final_net, trainer.spec, pixels)
    every = math.ceil(len(trainer.train_labels) / MOST_TRAINING_IMAGES)
    trained_on = logits_of(trainer.final_net, trainer.spec, trainer.train_pixels[::every])
    return {
        "parameters": deployed_parameters(trainer.net),
        "epochs": len(history),
        "seconds": round(sum(row.seconds for row in history), 2),
        "images_per_second": round(statistics.harmonic_mean(row.images_per_second for row in history), 1),
        "train_accuracy": accuracy_of(trained_on, trainer.train_labels[::every]),
        "val_accuracy": kept.val_accuracy,
        "test_accuracy": accuracy_of(logits, labels),
        "test_images": len(labels),
    }
