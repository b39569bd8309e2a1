"""`lenet-edge export`."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from lenet_edge import console
from lenet_edge.commands.verify import why_it_failed
from lenet_edge.options import DataDirOption, DatasetHelp, JsonOption, MaxDropOption
from lenet_edge.recipes import RECIPES, find_recipe
from lenet_edge_exporters.formats import FORMATS
from lenet_edge_exporters.job import (
    CALIBRATION_IMAGES,
    CALIBRATION_METHODS,
    DEFAULT_OPSET,
    MAX_CALIBRATION_IMAGES,
    OPSETS,
)
from lenet_edge_runtime.spec import InputType

NAME = "export"
DEFAULT_FORMATS = ("torchscript", "onnx")
Choice = TypeVar("Choice", bound=str)
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
    int8_layers: Annotated[
        str,
        typer.Option(
            help="Layers in int8. all; linear: the dense ones; auto: the fastest choice on this machine that keeps "
            "the accuracy and is at most 0.35 of float32's size."
        ),
    ] = "all",
    calibration_images: Annotated[
        int, typer.Option(min=1, max=MAX_CALIBRATION_IMAGES, help="Training images that calibrate int8.")
    ] = CALIBRATION_IMAGES,
    calibration_method: Annotated[
        str, typer.Option(help=f"How they give the ranges of int8: {', '.join(CALIBRATION_METHODS)}.")
    ] = "minmax",
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the draw of calibration images; the run's by default.")
    ] = None,
    calibration_draws: Annotated[
        int, typer.Option(min=0, help="Repeat int8 with so many draws and report the spread of its accuracy.")
    ] = 0,
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
    # All that can be wrong on the command line is found before weights become a run.
    plan = _int8_plan(calibration_images, calibration_method, seed, int8_layers, calibration_draws)
    _check_weights_options(run, model, dataset, mean, std)
    from lenet_edge.exporting import export_run

    found = _run_to_export(run, model, dataset, data_dir, mean, std)
    with found.locked():
        report = export_run(
            found,
            names,
            out=out,
            opset=opset,
            data_dir=data_dir,
            int8=plan,
            max_drop_pp=max_drop,
            input_type=input_type,
        )
    if as_json:
        console.print_json(as_document(found, report))
    else:
        print_report(report)
    if not report.passed:
        _say_why_rejected(report)
        raise typer.Exit(3)
    console.say("next: lenet-edge verify")


def _int8_plan(images: int, method: str, seed: int | None, layers: str, draws: int) -> Any:
    from lenet_edge.calibration import LAYER_CHOICES, Int8Plan

    chosen_method = _one_of(CALIBRATION_METHODS, method, "--calibration-method")
    chosen_layers = _one_of(LAYER_CHOICES, layers, "--int8-layers")
    if draws == 1:
        raise typer.BadParameter("--calibration-draws takes 2 or more: one draw has no spread")
    return Int8Plan(images, chosen_method, seed, chosen_layers, draws)


def _run_to_export(
    run: Path | None,
    model: str | None,
    dataset: str | None,
    data_dir: Path | None,
    mean: list[float] | None,
    std: list[float] | None,
) -> Any:
    """The run that was named, or the one that given weights become."""
    from lenet_edge.datasets import load_dataset
    from lenet_edge.exporting import import_weights
    from lenet_edge.runs import find_run

    if model is None or run is None or dataset is None:
        return find_run(run)
    recipe, data = find_recipe(model), load_dataset(dataset, data_dir)
    found = import_weights(run, recipe, data, mean=tuple(mean) if mean else None, std=tuple(std) if std else None)
    console.say(f"the weights are now a run: {found.folder}")
    return found


def as_document(run: Any, report: Any) -> dict[str, Any]:
    """What `export --json` prints; the last three keys only where they were asked for, or int8 was rejected."""
    optional = {
        "int8_selection": report.selection,
        "calibration_draws": report.calibration_draws,
        "layer_sensitivity": report.sensitivity,
    }
    return {
        "run": str(run.folder),
        "passed": report.passed,
        "artifacts": report.artifacts,
        "model_card": report.model_card,
        **{key: value for key, value in optional.items() if value is not None},
    }


def print_report(report: Any) -> None:
    """Print the files, and before and after them what belongs to their making."""
    if report.selection:
        print_selection(report.selection)
    if report.calibration_draws:
        print_draws(report.calibration_draws)
    print_artifacts(report.artifacts)
    print_footprints(report.artifacts)
    say_what_stays_float(report.artifacts)
    console.say(f"the model card: {report.model_card}")
    if report.sensitivity:
        print_sensitivity(report.sensitivity)


def print_footprints(artifacts: list[Any]) -> None:
    """Print what one inference takes on a device, of the formats that can say."""
    known = [artifact for artifact in artifacts if artifact.footprint]
    if not known:
        return
    console.print_table(
        "what it takes: constants and code in flash (compiled for this machine), scratch in RAM, multiplications",
        ["file", "constants, bytes", "flash, bytes", "RAM, bytes", "multiplications"],
        [
            [
                item.path.name,
                *(f"{item.footprint[key]:,}" for key in ("constant_bytes", "flash_bytes", "scratch_bytes", "macs")),
            ]
            for item in known
        ],
    )


def _say_why_rejected(report: Any) -> None:
    card = next(item.card for item in report.artifacts if item.card and not item.passed)
    console.say(why_it_failed(card["max_drop_pp"], card["images"]))
    if report.sensitivity:
        console.say("'lenet-edge train --qat' fine-tunes the run for int8")


def chosen_formats(formats: list[str] | None, int8: bool) -> list[str]:
    """The formats asked for, each once; an unknown one is a usage error."""
    names = list(formats or DEFAULT_FORMATS) + (["int8"] if int8 else [])
    for name in names:
        if name not in FORMATS:
            raise typer.BadParameter(f"no format is called {name!r}; choose {', '.join(FORMATS)}")
    return list(dict.fromkeys(names))


def _one_of(choices: tuple[Choice, ...], given: str, option: str) -> Choice:
    for choice in choices:
        if choice == given:
            return choice
    raise typer.BadParameter(f"{option} is one of {', '.join(choices)}, got {given!r}")


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


def say_what_stays_float(artifacts: list[Any]) -> None:
    """Name the nodes of the int8 file that onnxruntime computes in float, where there are any."""
    from lenet_edge.commands.info import describe

    for item in artifacts:
        if item.format == "int8" and (nodes := describe(item.path)["metadata"]["float_nodes"]):
            names = ", ".join(f"{node['op_type']} {node['name']}" for node in nodes)
            console.say(f"{item.path.name} computes in float: {names}")


def print_selection(selection: Any) -> None:
    """Print the Pareto front of the choices of layers, fastest first, and say what was taken."""
    fastest_first = [*selection.front] + ([] if selection.chosen.on_front else [selection.chosen])
    console.print_table(
        f"int8 layers: the best of {len(selection.candidates) - 1} choices, {selection.images} validation images",
        ["layers in int8", "size", "of float32's", "latency, us", "95 % interval", "accuracy", "agreement", ""],
        [
            [
                item.name,
                console.kilobytes(item.bytes),
                f"{item.bytes / selection.float32.bytes:.2f}",
                f"{item.p50_us:.1f}",
                f"{item.p50_ci95_us[0]:.1f} to {item.p50_ci95_us[1]:.1f}",
                console.percent(item.accuracy),
                console.percent(item.agreement),
                "taken" if item == selection.chosen else "",
            ]
            for item in fastest_first
        ],
    )
    ratio = selection.chosen.p50_us / selection.float32.p50_us
    console.say(f"int8 layers taken: {selection.chosen.name}, {ratio:.2f} times float32's latency on this machine")
    if not selection.gate_held:
        console.say(f"no small enough choice keeps the accuracy within {selection.max_drop_pp:.2f} points: the nearest")


def print_sensitivity(rows: list[Any]) -> None:
    """Print what each layer does to the answers when it alone is quantized, the most harmful first."""
    from lenet_edge.layer_selection import short_name

    console.print_table(
        "each layer quantized alone, on validation images",
        ["layer", "accuracy", "drop, pp", "agreement", "logits' RMS error"],
        [
            [
                f"{short_name(row.layer)} ({row.layer.op_type})",
                console.percent(row.accuracy),
                f"{row.accuracy_drop_pp:+.2f}",
                console.percent(row.agreement),
                f"{row.logit_rms_error:.3g}",
            ]
            for row in rows
        ],
    )


def print_draws(draws: Any) -> None:
    """Print how much the draw of calibration images matters."""
    console.print_table(
        f"int8 over {draws.n} draws of calibration images: accuracy on validation images",
        ["draws", "mean", "standard deviation", "lowest", "highest"],
        [
            [
                str(draws.n),
                console.percent(draws.mean, 3),
                console.percent(draws.sd, 3),
                console.percent(min(draws.accuracies)),
                console.percent(max(draws.accuracies)),
            ]
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
