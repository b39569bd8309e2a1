"""`lenet-edge train`."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from lenet_edge import console
from lenet_edge.networks.recipes import DEFAULT_RECIPE, STRANGERS, Recipe, find_recipe, own_recipe
from lenet_edge.options import (
    MAX_SEED,
    ChannelsOption,
    DataDirOption,
    DatasetHelp,
    JsonOption,
    MlflowOption,
    NetOption,
    SizeOption,
    SkipUnreadableOption,
    StrangersOption,
    TensorBoardOption,
    image_form,
    one_of,
)
from lenet_edge.training import launcher
from lenet_edge_runtime.errors import TrainingError
from lenet_edge_runtime.extras import require

NAME = "train"


def run(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help=f"A name that 'lenet-edge recipes' lists.  [default: {DEFAULT_RECIPE}]", show_default=False
        ),
    ] = None,
    net: NetOption = None,
    dataset: Annotated[str | None, typer.Option(help=DatasetHelp + "  [default: recipe's]", show_default=False)] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the training images.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, help="Images per step.")] = None,
    lr: Annotated[float | None, typer.Option(min=0.0, help="Peak learning rate.")] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=MAX_SEED, help="Seed of the split, the shuffle and the initial weights.  [default: 0]"),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.  [default: auto]")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/RECIPE-DATASET-N by default.")] = None,
    data_dir: DataDirOption = None,
    size: SizeOption = None,
    channels: ChannelsOption = None,
    val: Annotated[
        Path | None, typer.Option(help="Of your own images: a folder of class folders to validate on.")
    ] = None,
    skip_unreadable: SkipUnreadableOption = False,
    class_weights: Annotated[
        str | None, typer.Option(help="none, or balanced: rare classes weigh as much as frequent ones.")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after so many epochs without a better validation accuracy; keep the best."),
    ] = None,
    strangers: StrangersOption = False,
    qat: Annotated[
        bool,
        typer.Option("--qat", help="Fine-tune a finished run with fake quantization, for export --int8; a new run."),
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="The run that --qat starts from; the latest finished one by default."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, or with the latest unfinished one.")
    ] = False,
    tensorboard: TensorBoardOption = False,
    mlflow: MlflowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a recipe on a data set and evaluate it on the test set.

    With --qat: 3 epochs and a peak of 0.0001 by default; recipe, data set and seed are the source run's.
    With --resume: all comes from the run; options repeated beside it have to agree with it.

    Example: lenet-edge train lenet5 --dataset fashion-mnist
    """
    require("train", "this command")
    launcher.let_threads_sleep()
    from lenet_edge.tracking.choice import Tracking

    if qat and launcher.processes() > 1:
        raise typer.BadParameter("--qat trains in one process; start it without torchrun")
    if source is not None and not qat:
        raise typer.BadParameter("--from goes with --qat")
    if launcher.follows():
        from lenet_edge.training.follower import follow

        follow(data_dir)
        return
    tracking = Tracking(tensorboard, mlflow)
    tracking.check()
    if resume:
        typed = {
            "recipe": recipe, "--dataset": dataset, "--epochs": epochs, "--batch-size": batch_size, "--lr": lr,
            "--seed": seed, "--device": device, "--threads": threads, "--qat": qat or None, "--from": source,
            "--size": size, "--channels": channels, "--val": val, "--skip-unreadable": skip_unreadable or None,
            "--class-weights": class_weights, "--patience": patience, "--strangers": strangers or None,
        }  # fmt: skip
        run, data = _resumed(out, data_dir, typed)
    elif qat:
        _refuse_with(
            "--qat", recipe=recipe, dataset=dataset, seed=seed, size=size, channels=channels, val=val,
            skip_unreadable=skip_unreadable or None, class_weights=class_weights, patience=patience,
            strangers=strangers or None,
        )  # fmt: skip
        run, data = _fine_tuned(
            source, data_dir, out=out, epochs=epochs, batch_size=batch_size, learning_rate=lr, device=device or "auto",
            threads=threads,
        )  # fmt: skip
    else:
        if net and recipe:
            raise typer.BadParameter("--net takes the place of a recipe; leave the recipe out")
        chosen = (own_recipe(net) if net else find_recipe(recipe or DEFAULT_RECIPE)).changed(
            batch_size=batch_size, learning_rate=lr, patience=patience, class_weights=_class_weights(class_weights),
            strangers=STRANGERS if strangers else None,
        )  # fmt: skip
        form = image_form(size, channels, val, skip_unreadable)
        run, data = _started(
            chosen, dataset, data_dir, form, out, seed=seed or 0, device=device or "auto", threads=threads,
            epochs=epochs,
        )  # fmt: skip
    from lenet_edge.training.distributed import assembled

    with assembled() as team:
        document = train_run(run, data, resume=resume or qat, team=team, trackers=tracking.of(run))
    if as_json:
        console.print_json(document)
    else:
        _print_summary(document)


def _resumed(out: Path | None, data_dir: Path | None, typed: dict[str, Any]) -> tuple[Any, Any]:
    from lenet_edge.runs.finding import find_run
    from lenet_edge.training.resuming import differences
    from lenet_edge.training.training import resolve_device

    found = find_run(out, status=("training",), data_dir=data_dir)
    folder, device = found.run.folder, found.record.device
    if different := differences(found, typed):
        raise typer.BadParameter(
            f"--resume goes on with {folder} as it was started, not with {', '.join(different)}; "
            f"leave that out, or train a new run without --resume"
        )
    try:
        resolve_device(device)
    except TrainingError as error:
        raise TrainingError(
            f"{folder} was started on {device}, and {error}; go on with it where that is, or train a new run"
        ) from None
    return found.run, found.data


def _fine_tuned(source: Path | None, data_dir: Path | None, **options: Any) -> tuple[Any, Any]:
    from lenet_edge.training.fine_tuning import find_source, start_fine_tuning

    found = find_source(source, data_dir)
    return start_fine_tuning(found, found.data, **options), found.data


def _started(
    recipe: Recipe, dataset: str | None, data_dir: Path | None, form: Any, out: Path | None, **options: Any
) -> tuple[Any, Any]:
    from lenet_edge.data.datasets import load_dataset

    with ThreadPoolExecutor(1) as pool:  # unpacking runs beside the import of torch, which takes two seconds
        reading = pool.submit(load_dataset, dataset or recipe.made_for, data_dir, form)
        from lenet_edge.training.training import start_run
    data = reading.result()
    for remark in data.remarks:
        console.say(remark)
    return start_run(recipe, data, out, **options), data


def train_run(
    run: Any, data: Any, *, resume: bool = False, team: Any = None, trackers: Sequence[Any] = ()
) -> dict[str, Any]:
    """Train a run in its folder, under its lock, alone or leading a team; return what `train --json` prints."""
    from lenet_edge.training.console_watcher import ConsoleWatcher
    from lenet_edge.training.distributed import ALONE
    from lenet_edge.training.training import complete
    from lenet_edge.training.watcher import Watchers

    team = team or ALONE
    with ExitStack() as stack:
        for tracker in trackers:
            stack.enter_context(tracker)
        with ConsoleWatcher(patient=team.size > 1) as watcher:
            record = complete(run, data, Watchers(watcher, trackers), resume=resume, team=team)
        for tracker in trackers:
            tracker.finish(record, data)
    metrics = dict(record.metrics)
    return {
        "run": str(run.folder),
        "recipe": record.recipe.name,
        "dataset": record.dataset,
        "parameters": metrics.pop("parameters"),
        "epochs": metrics.pop("epochs"),
        **metrics,
        "seed": record.seed,
        "device": record.device,
        "threads": record.threads,
        "processes": record.processes,
    }


def _class_weights(given: str | None) -> str | None:
    return given and one_of(("none", "balanced"), given, "--class-weights")


def _refuse_with(option: str, **given: object) -> None:
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise typer.BadParameter(f"{option} takes {', '.join(names)} from the run; leave it out")


def _print_summary(document: dict[str, Any]) -> None:
    console.print_table(
        f"{document['recipe']} on {document['dataset']}",
        ["", "test accuracy", "validation", "parameters", "epochs", "seconds", "images/s", "device"],
        [
            [
                document["run"],
                console.percent(document["test_accuracy"]),
                console.percent(document["val_accuracy"]),
                f"{document['parameters']:,}",
                str(document["epochs"]),
                f"{document['seconds']:.1f}",
                f"{document['images_per_second']:,.0f}",
                f"{document['device']}, {document['threads']} threads",
            ]
        ],
    )
    console.say("next: lenet-edge export --int8")
