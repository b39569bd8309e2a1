"""`lenet-edge export`."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from lenet_edge import console
from lenet_edge.commands.export_tables import print_report
from lenet_edge.commands.verify import why_it_failed
from lenet_edge.networks.recipes import find_recipe
from lenet_edge.options import DataDirOption, DatasetHelp, JsonOption, MaxDropOption
from lenet_edge.web.engines import DEFAULT_ENGINE, ENGINES, check_cdn, engine_for
from lenet_edge_exporters.export_job import (
    CALIBRATION_IMAGES,
    CALIBRATION_METHODS,
    DEFAULT_OPSET,
    MAX_CALIBRATION_IMAGES,
    OPSETS,
)
from lenet_edge_exporters.formats import FORMATS
from lenet_edge_runtime.spec import InputType

NAME = "export"
DEFAULT_FORMATS = ("torchscript", "onnx")
Choice = TypeVar("Choice", bound=str)
OF_A_PAGE = ("run", "--web", "--engine", "--cdn", "--json")  # what goes with an exported file and --web
_ENGINE_HELP = "; ".join(f"{row.name}: {row.summary}" for row in ENGINES.values())
_FORMAT_HELP = "; ".join(f"{row.name}: {row.summary}" for row in FORMATS.values())


def run(
    context: typer.Context,
    run: Annotated[
        Path | None,
        typer.Argument(
            help="A run (the latest by default), or a state_dict (.pth, .pt, .safetensors) with --model and --dataset; "
            "with --web also an exported ONNX file or wasm folder.",
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
        str | None, typer.Option(help="The recipe that given weights are for; 'lenet-edge recipes' lists them.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help=f"The data that given weights are for: {DatasetHelp}")] = None,
    mean: Annotated[
        list[float] | None,
        typer.Option(help="Mean that given weights were trained with, of pixels in [0, 1]; once a channel."),
    ] = None,
    std: Annotated[list[float] | None, typer.Option(help="Standard deviation, like --mean.")] = None,
    web: Annotated[
        Path | None,
        typer.Option(help="Folder for a web page that runs the int8 network in a browser.", show_default=False),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help=f"With --web: what runs it there. {_ENGINE_HELP}.  [default: {DEFAULT_ENGINE}]", show_default=False
        ),
    ] = None,
    cdn: Annotated[
        str | None,
        typer.Option(help="With --web: load onnxruntime-web from this address instead of fetching it by npm."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Export a run; every file is reloaded and compared with the PyTorch model as it is written.

    Example: lenet-edge export --int8
    """
    _check_web_options(web, engine, cdn)
    shown = ENGINES[engine or DEFAULT_ENGINE]
    if web and run and engine_for(run):
        _refuse_what_exports(context, run)
        _say_page(_write_page(run, web, shown.name, cdn), as_json)
        return
    names = chosen_formats(formats, (["int8"] if int8 else []) + ([shown.format] if web else []))
    # All that can be wrong on the command line is found before weights become a run.
    plan = _int8_plan(calibration_images, calibration_method, seed, int8_layers, calibration_draws)
    _check_weights_options(run, model, dataset, mean, std)
    from lenet_edge.artefacts.exporting import export_run

    found = _run_to_export(run, model, dataset, data_dir, mean, std)
    with _locked(found.run, out):
        report = export_run(
            found,
            names,
            out=out,
            opset=opset,
            int8=plan,
            max_drop_pp=max_drop,
            input_type=input_type,
        )
    fit_to_show = [item.path for item in report.artifacts if item.format == shown.format and item.passed]
    page = _write_page(fit_to_show[0], web, shown.name, cdn) if web and fit_to_show else None
    if as_json:
        console.print_json(as_document(found.run, report) | ({"web": page} if page else {}))
    else:
        print_report(report)
    if page:
        _say_page(page)
    if not report.passed:
        _say_why_rejected(report)
        raise typer.Exit(3)
    console.say("next: lenet-edge verify")


def _check_web_options(web: Path | None, engine: str | None, cdn: str | None) -> None:
    from lenet_edge.web.page import check_folder

    if web is None:
        if engine or cdn:
            raise typer.BadParameter("--engine and --cdn go with --web")
        return
    if engine is not None and engine not in ENGINES:
        raise typer.BadParameter(f"--engine is one of {', '.join(ENGINES)}, got {engine!r}")
    check_cdn(ENGINES[engine or DEFAULT_ENGINE], cdn)
    check_folder(web)


def _refuse_what_exports(context: typer.Context, path: Path) -> None:
    """Refuse the options that say how a run is exported, for a file that was exported before."""
    sources = {option.opts[0]: context.get_parameter_source(str(option.name)) for option in context.command.params}
    given = [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]
    if given := [name for name in given if name not in OF_A_PAGE]:
        raise typer.BadParameter(
            f"{path} is exported already, and --web shows it as it is: leave out {', '.join(given)}, or name its run"
        )


def _write_page(path: Path, web: Path, engine: str, cdn: str | None) -> Any:
    from lenet_edge.web.page import write_page

    return write_page(path, web, engine, cdn)


def _say_page(page: Any, as_json: bool = False) -> None:
    if as_json:
        console.print_json({"web": page})
    console.say(page.remark)
    console.say(f"the web page: {page.folder}/, {page.files} files, {page.bytes / 1e6:.2f} MB")
    console.say(f"next: lenet-edge serve {page.folder}")


def _int8_plan(images: int, method: str, seed: int | None, layers: str, draws: int) -> Any:
    from lenet_edge.artefacts.calibration import LAYER_CHOICES, Int8Plan

    chosen_method = _one_of(CALIBRATION_METHODS, method, "--calibration-method")
    chosen_layers = _one_of(LAYER_CHOICES, layers, "--int8-layers")
    if draws == 1:
        raise typer.BadParameter("--calibration-draws takes 2 or more: one draw has no spread")
    return Int8Plan(images, chosen_method, seed, chosen_layers, draws)


def _locked(run: Any, out: Path | None) -> AbstractContextManager[None]:
    """The run's lock where files are written into it; a run that is only read may lie where nothing can be written."""
    if out is None or out.resolve().is_relative_to(run.folder.resolve()):
        lock: AbstractContextManager[None] = run.locked()
        return lock
    return nullcontext()


def _run_to_export(
    run: Path | None,
    model: str | None,
    dataset: str | None,
    data_dir: Path | None,
    mean: list[float] | None,
    std: list[float] | None,
) -> Any:
    """The run that was named, or the one that given weights become."""
    from lenet_edge.artefacts.exporting import import_weights
    from lenet_edge.data.datasets import load_dataset
    from lenet_edge.runs.finding import find_run
    from lenet_edge.runs.opened import open_run

    if model is None or run is None or dataset is None:
        return find_run(run, data_dir=data_dir)
    recipe, data = find_recipe(model), load_dataset(dataset, data_dir)
    found = import_weights(run, recipe, data, mean=tuple(mean) if mean else None, std=tuple(std) if std else None)
    console.say(f"the weights are now a run: {found.folder}")
    return open_run(found, data_dir)


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


def _say_why_rejected(report: Any) -> None:
    card = next(item.card for item in report.artifacts if item.card and not item.passed)
    console.say(why_it_failed(card["max_drop_pp"], card["images"]))
    if report.sensitivity:
        console.say("'lenet-edge train --qat' fine-tunes the run for int8")


def chosen_formats(formats: list[str] | None, added: Sequence[str]) -> list[str]:
    """The formats asked for (or the default ones) and those added, each once; an unknown one is a usage error."""
    names = [*(formats or DEFAULT_FORMATS), *added]
    for name in names:
        if name not in FORMATS:
            raise typer.BadParameter(f"no format is called {name!r}; choose {', '.join(FORMATS)}")
    return list(dict.fromkeys(names))


def _one_of(choices: tuple[Choice, ...], given: str, option: str) -> Choice:
    for choice in choices:
        if choice == given:
            return choice
    raise typer.BadParameter(f"{option} is one of {', '.join(choices)}, got {given!r}")


def _check_weights_options(
    run: Path | None,
    model: str | None,
    dataset: str | None,
    mean: list[float] | None,
    std: list[float] | None,
) -> None:
    from lenet_edge.networks.weights import SUFFIXES

    is_weights = run is not None and run.suffix in SUFFIXES
    if is_weights and (model is None or dataset is None):
        raise typer.BadParameter(f"{run} is a weights file: say what it is for, by --model and --dataset")
    if not is_weights and (model or dataset or mean or std):
        raise typer.BadParameter("--model, --dataset, --mean and --std go with a weights file, not with a run")
    if bool(mean) != bool(std):
        raise typer.BadParameter("--mean and --std go together")
