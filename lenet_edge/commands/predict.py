"""`lenet-edge predict`: needs the base install alone."""

import sys
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lenet_edge import console
from lenet_edge.commands.predict_sources import model_and_images
from lenet_edge.options import (
    JobsOption,
    JsonOption,
    LabelsOption,
    MeanOption,
    ScaleOption,
    SchedulerOption,
    StdOption,
    TimeLimitOption,
    check_scheduler,
    one_of,
    open_foreign,
)

if TYPE_CHECKING:
    from lenet_edge.predicting.delivery import Delivery

NAME = "predict"
INVERT = {"auto": "auto", "yes": True, "no": False}
FITS = ("auto", "mnist", "resize")
BATCH = 256  # images in memory


def run(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[MODEL] IMAGE...",
            help="An exported ONNX or ORT file, or pretrained:mnist or pretrained:fashion-mnist; and images, folders "
            "of images, or patterns in quotes such as 'photos/**/*.png'. Without a file, the latest run's int8 or else "
            "float32 one; without a run, pretrained:mnist.",
        ),
    ],
    invert: Annotated[
        str,
        typer.Option(help="auto, yes or no: whether images are dark on light where the model wants light on dark."),
    ] = "auto",
    fit: Annotated[
        str,
        typer.Option(
            help="How images get the model's size: mnist centres and scales their ink as MNIST's is, resize takes the "
            "whole image, auto does what the model was trained with, unless the image is like that already."
        ),
    ] = "auto",
    split: Annotated[
        bool,
        typer.Option("--split", help="Cut each picture into its digits and answer each, in the order of reading."),
    ] = False,
    answers: Annotated[
        str | None,
        typer.Option(
            "--format", help="text, csv, jsonl or parquet (both with all probabilities).  [default: by --out, or text]"
        ),
    ] = None,
    abstain: Annotated[
        bool, typer.Option("--abstain", help="Answer none where an image shows none of the model's classes.")
    ] = False,
    coverage: Annotated[
        float | None,
        typer.Option(help="Answer a set of labels that holds the true one with this probability, such as 0.99."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the answers to this file.")] = None,
    jobs: JobsOption = 1,
    scheduler: SchedulerOption = None,
    shard: Annotated[
        int | None,
        typer.Option(
            min=256,
            max=10_000_000,
            help="Images a file: --out a.jsonl becomes a-00000.jsonl, a-00001.jsonl, ...",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on after the last whole file that --shard has written.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(help="Check the model file's seal and known answers as it is loaded."),
    ] = True,
    labels: LabelsOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    scale: ScaleOption = None,
    time_limit: TimeLimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Classify images with an exported ONNX or ORT file.

    Files that cannot be read are named on stderr and counted; the others are answered, and the exit code is 1. With
    --labels the file may be another tool's ONNX classifier; it is run in a process of its own, under limits.

    With --split a picture holds a row of digits, or several; those that touch come out as one.

    Example: lenet-edge predict lenet5-mnist.int8.onnx digit.png
    """
    one_of(INVERT, invert, "--invert")
    one_of(FITS, fit, "--fit")
    chosen = _format(answers, out, as_json, split)
    _check_shards(out, shard, resume, labels)
    check_scheduler(scheduler, jobs)
    from lenet_edge.predicting.answering import Asked, here
    from lenet_edge.predicting.cluster import on_cluster
    from lenet_edge.predicting.delivery import Delivery
    from lenet_edge.predicting.image_stream import find_images
    from lenet_edge.predicting.progress import counted
    from lenet_edge_exporters import manifest
    from lenet_edge_runtime import Classifier

    model, names = model_and_images(paths)
    manifest.check(model)
    foreign = open_foreign([model], labels, mean, std, time_limit, scale)
    if foreign and (jobs > 1 or scheduler):
        given = "--jobs is" if jobs > 1 else "--scheduler (or DASK_SCHEDULER_ADDRESS) is"
        raise typer.BadParameter(f"{given} for files of lenet-edge: another tool's runs in one process, under limits")
    classifier = foreign[0] if foreign else Classifier(model, verify=verify)
    _check_spec(classifier.spec, fit, split, abstain, coverage)
    policies: tuple[Any, Any] = INVERT[invert], fit
    asked = Asked(model, verify, chosen, *policies, coverage, abstain, split)
    alone = nullcontext(here(asked, classifier, jobs))
    counting = counted(shown=out is not None or not sys.stdout.isatty())
    with on_cluster(scheduler, asked, classifier) if scheduler else alone as way, counting as tick:
        delivery = Delivery(asked, way, foreign[0].batch if foreign else BATCH, tick)
        if shard is not None and out is not None:
            where = _into_shards(delivery, find_images(names), out, shard, resume)
        else:
            delivery.into_one(find_images(names), out, as_json)
            where = str(out)
    if out is not None:
        console.say(f"{delivery.images - delivery.failed:,} answers are in {where}")
    if delivery.failed:
        if delivery.images > 1:
            console.say(f"{delivery.failed:,} of {delivery.images:,} files could not be read")
        raise typer.Exit(1)


def _into_shards(delivery: "Delivery", images: Iterable[Path], out: Path, size: int, resume: bool) -> str:
    """Answer into shards; return where they are."""
    try:
        shards = delivery.into_shards(images, out, size, resume=resume)
    except KeyboardInterrupt:
        console.say("stopped; the same command with --resume goes on after the last whole file")
        raise
    first, last = shards.path(0), shards.path(len(shards.done) - 1)
    return f"{first}" if first == last else f"{len(shards.done):,} files, {first} to {last.name}"


def _check_shards(out: Path | None, shard: int | None, resume: bool, labels: str | None) -> None:
    if shard is not None and out is None:
        raise typer.BadParameter("--shard needs --out, which names the files")
    if shard is not None and labels is not None:
        raise typer.BadParameter("--shard is for files of lenet-edge: leave it out with --labels")
    if resume and shard is None:
        raise typer.BadParameter("--resume goes on with the files of --shard: give it, as before")


def _check_spec(spec: Any, fit: str, split: bool, abstain: bool, coverage: float | None) -> None:
    """Raise for what the file is not made for, or was not given in its training."""
    if fit == "mnist" and spec.channels != 1:
        raise typer.BadParameter("--fit mnist is for models of grey images, this one takes colour: --fit resize")
    if split and spec.channels != 1:
        raise typer.BadParameter("--split is for models of grey images, this one takes colour: leave it out")
    levels = [level for level, _ in spec.coverage]
    given = "train again; imported weights have none"
    if abstain and spec.threshold is None:
        raise typer.BadParameter(f"the model has no threshold for what is none of its classes: {given}")
    if coverage is not None and coverage not in levels:
        known = f"it has {', '.join(f'{level:g}' for level in levels)}" if levels else given
        raise typer.BadParameter(f"the model has no sets of --coverage {coverage:g}: {known}")


def _format(name: str | None, out: Path | None, as_json: bool, split: bool) -> str:
    from lenet_edge.predicting.output_formats import FORMATS

    if as_json:
        if name is not None or out is not None:
            raise typer.BadParameter("--json prints one document; for a file, or lines, use --format jsonl and --out")
        return "jsonl"
    by_ending = out.suffix.lower().removeprefix(".") if out is not None else ""
    chosen = one_of(FORMATS, name or (by_ending if by_ending in FORMATS else "text"), "--format")
    if chosen == "parquet" and split:
        raise typer.BadParameter("--split writes text, csv or jsonl: Parquet has no columns for several digits")
    if chosen == "parquet":
        from lenet_edge.predicting.writing import parquet_schema

        if out is None:
            raise typer.BadParameter("--format parquet needs a file: give --out")
        parquet_schema()
    return chosen
