"""What was typed beside `--resume`, against the run that goes on: nothing of it may silently be ignored."""

from pathlib import Path
from typing import Any

from lenet_edge.data.datasets import DATASETS
from lenet_edge.runs.finding import find_run
from lenet_edge.runs.opened import OpenedRun
from lenet_edge.runs.record import RunRecord
from lenet_edge.runs.run import Run
from lenet_edge_runtime.sessions import sha256_of


def differences(opened: OpenedRun, typed: dict[str, Any]) -> list[str]:
    """A phrase for each option whose value is not the run's, such as "--lr 0.1 (the run has 0.2)"; [] where all agree.

    `typed` maps an option, or "recipe" for the argument, to its value; None is an option that was left out.
    """
    started = _as_typed(opened.run, opened.record, typed)
    return [
        f"{option} (the run was started without it)"
        if value is True
        else f"{option} {value} (the run has {started[option]})"
        for option, value in typed.items()
        if value is not None and value != started[option]
    ]


def _as_typed(run: Run, record: RunRecord, typed: dict[str, Any]) -> dict[str, Any]:
    """The run's values in the words of the command line; a word of the same meaning is kept as it was typed."""
    recipe = record.recipe
    return {
        "recipe": recipe.name,
        "--dataset": _dataset(run.dataset_argument(record), typed.get("--dataset")),
        "--epochs": recipe.epochs,
        "--batch-size": recipe.batch_size,
        "--lr": recipe.learning_rate,
        "--seed": record.seed,
        "--device": "auto" if typed.get("--device") == "auto" else record.device,
        "--threads": record.threads,
        **_of_images(run, record, typed),
        "--class-weights": recipe.class_weights,
        "--patience": recipe.patience,
        "--strangers": recipe.strangers > 0,
        "--qat": record.quantization is not None,
        "--from": _source(record, typed.get("--from")),
    }


def _of_images(run: Run, record: RunRecord, typed: dict[str, Any]) -> dict[str, Any]:
    form, val = run.image_form(record), typed.get("--val")
    same = val is not None and form is not None and form.val == Path(val).resolve()
    return {
        "--size": record.spec.height,
        "--channels": record.spec.channels,
        "--val": val if same else form and form.val,
        "--skip-unreadable": form is not None and form.skip_unreadable,
    }


def _dataset(started: str, typed: str | None) -> str:
    """A folder of images has many spellings."""
    is_folder = typed is not None and typed not in DATASETS and started not in DATASETS
    return str(typed) if is_folder and Path(str(typed)).resolve() == Path(started) else started


def _source(record: RunRecord, typed: Path | None) -> Path | str:
    """The folder that `--qat --from` named is not in the record; its weights are."""
    if record.quantization is None:
        return "none"
    if typed is not None:
        weights = find_run(typed).run.weights_path
        if weights.is_file() and sha256_of(weights) == record.quantization.source_weights_sha256:
            return typed
    return "other weights"
