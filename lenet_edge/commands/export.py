"""`lenet-edge export`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lenet_edge import console
from lenet_edge.commands.verify import why_it_failed
from lenet_edge.options import DataDirOption, DatasetHelp, JsonOption, MaxDropOption
from lenet_edge.recipes import RECIPES, find_recipe
from lenet_edge_exporters.formats import FORMATS
from lenet_edge_exporters.job import DEFAULT_OPSET, OPSETS
from lenet_edge_runtime.spec import InputType

NAME = "export"
DEFAULT_FORMATS = ("torchscript", "onnx")
_FORMAT_HELP = "; ".join(f"{row.name}: {row.summary}" for row in FORMATS.values())


def run(
    run: Annotated[
        Path | None,
        typer.Argument(
            help="A run (the latest by default), or a state_dict (.pth, .pt, .safetensors) with --model and --dataset.",
            show_default=False,
        ),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help=f"May be repeated. {_FORMAT_HELP}.  [default: torchscript, onnx]"),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Add static int8 ONNX.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the files; the run's own export/ by default.")] = None,
    opset: Annotated[int, typer.Option(min=OPSETS[0], max=OPSETS[-1], help="ONNX operator set.")] = DEFAULT_OPSET,
    input_type: Annotated[
        InputType,
        typer.Option(
            "--input",
            help="What the files take: raw pixels, or float32 images that are padded and normalised already.",
        ),
    ] = "uint8",
    data_dir: DataDirOption = None,
    max_drop: MaxDropOption = None,
    model: Annotated[
        str | None, typer.Option(help=f"The recipe that given weights are for: {', '.join(RECIPES)}.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help=f"The data that given weights are for: {DatasetHelp}")] = None,
    mean: Annotated[
        list[float] | None,
        typer.Option(help="Mean that given weights were trained with, of pixels in [0, 1]; once a channel."),
    ] = None,
    std: Annotated[list[float] | None, typer.Option(help="Standard deviation, like --mean.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Export a run; every file is reloaded and compared with the PyTorch model as it is written.

    Example: lenet-edge export --int8
    """
    names = chosen_formats(formats, int8)
    _check_weights_options(run, model, dataset, mean, std)
    from lenet_edge.exporting import export_run, import_weights
    from lenet_edge.runs import find_run

    if model is not None and run is not None and dataset is not None:
        from lenet_edge.datasets import load_dataset

        recipe, data = find_recipe(model), load_dataset(dataset, data_dir)
        found = import_weights(run, recipe, data, mean=tuple(mean) if mean else None, std=tuple(std) if std else None)
        console.say(f"the weights are now a run: {found.folder}")
    else:
        found = find_run(run)
    with found.locked():
        report = export_run(
            found, names, out=out, opset=opset, data_dir=data_dir, max_drop_pp=max_drop, input_type=input_type
        )
    if as_json:
        console.print_json({**vars(report), "run": str(found.folder), "passed": report.passed})
    else:
        print_artifacts(report.artifacts)
        console.say(f"the model card: {report.model_card}")
    if not report.passed:
        card = next(item.card for item in report.artifacts if item.card and not item.passed)
        console.say(why_it_failed(card["max_drop_pp"], card["images"]))
        raise typer.Exit(3)
    console.say("next: lenet-edge verify")


def chosen_formats(formats: list[str] | None, int8: bool) -> list[str]:
    """The formats asked for, each once; an unknown one is a usage error."""
    names = list(formats or DEFAULT_FORMATS) + (["int8"] if int8 else [])
    for name in names:
        if name not in FORMATS:
            raise typer.BadParameter(f"no format is called {name!r}; choose {', '.join(FORMATS)}")
    return list(dict.fromkeys(names))


def print_artifacts(artifacts: list[Any]) -> None:
    """Print the exported files with what was seen when they were compared."""
    console.print_table(
        f"{artifacts[0].path.parent}/: each reloaded and compared with the PyTorch model",
        ["file", "format", "size", "logits differ", "test accuracy", "drop, pp", "95 % interval", "gate"],
        [
            [
                item.path.name,
                item.format,
                console.kilobytes(item.bytes),
                f"{item.max_abs_logit_difference:.2g}",
                console.percent(item.card["accuracy"]),
                f"{item.card['accuracy_drop_pp']:+.2f}",
                "{:+.3f} to {:+.3f}".format(*item.card["drop_ci95_pp"]),
                "passed" if item.passed else "REJECTED",
            ]
            for item in artifacts
        ],
    )


def _check_weights_options(
    run: Path | None,
    model: str | None,
    dataset: str | None,
    mean: list[float] | None,
    std: list[float] | None,
) -> None:
    from lenet_edge.weights import SUFFIXES

    is_weights = run is not None and run.suffix in SUFFIXES
    if is_weights and (model is None or dataset is None):
        raise typer.BadParameter(f"{run} is a weights file: say what it is for, by --model and --dataset")
    if not is_weights and (model or dataset or mean or std):
        raise typer.BadParameter("--model, --dataset, --mean and --std go with a weights file, not with a run")
    if bool(mean) != bool(std):
        raise typer.BadParameter("--mean and --std go together")
