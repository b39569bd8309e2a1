"""What `lenet-edge export` is asked: its options, in groups, and whether they go together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lenet_edge.networks.architectures import IMPORTED_ACTIVATIONS, IMPORTED_POOLINGS
from lenet_edge.options import DatasetHelp, one_of
from lenet_edge.web.engines import DEFAULT_ENGINE, ENGINES, check_cdn
from lenet_edge_exporters.c_name import chosen
from lenet_edge_exporters.export_job import CALIBRATION_METHODS, MAX_CALIBRATION_IMAGES, OPSETS, LogitType
from lenet_edge_exporters.formats import FORMATS, checked_names, is_export
from lenet_edge_runtime.errors import WeightsError
from lenet_edge_runtime.near_names import near_path
from lenet_edge_runtime.shared_library import DEFAULT_NAME
from lenet_edge_runtime.spec import InputType

DEFAULT_FORMATS = ("torchscript", "onnx")
_ENGINE_HELP = "; ".join(f"{row.name}: {row.summary}" for row in ENGINES.values())
_FORMAT_HELP = "; ".join(f"{row.name}: {row.summary}" for row in FORMATS.values())

WEIGHTS_SUFFIXES = (".pth", ".pt", ".safetensors", ".ckpt")  # names of weights, here or not, that nothing was said of

# --- what is exported, and as what

RunArgument = Annotated[
    Path | None,
    typer.Argument(
        help="A run (the latest by default), or weights from elsewhere (a state_dict or checkpoint) or another tool's "
        "float ONNX file, with --dataset; "
        "with --web also an exported ONNX file or wasm folder.",
        show_default=False,
    ),
]
FormatsOption = Annotated[
    list[str] | None,
    typer.Option("--format", help=f"May be repeated. {_FORMAT_HELP}.  [default: torchscript, onnx]"),
]
OutOption = Annotated[Path | None, typer.Option(help="Folder for the files; the run's own export/ by default.")]
OpsetOption = Annotated[int, typer.Option(min=OPSETS[0], max=OPSETS[-1], help="ONNX operator set.")]
InputOption = Annotated[
    InputType,
    typer.Option(
        "--input", help="What the files take: raw pixels, or float32 images that are padded and normalised already."
    ),
]

# --- int8

Int8Option = Annotated[bool, typer.Option("--int8", help="Add static int8 ONNX.")]
Int8LayersOption = Annotated[
    str,
    typer.Option(
        help="Layers in int8. all; linear: the dense ones; auto: the fastest choice on this machine that keeps "
        "the accuracy and is at most 0.35 of float32's size."
    ),
]
CalibrationImagesOption = Annotated[
    int, typer.Option(min=1, max=MAX_CALIBRATION_IMAGES, help="Training images that calibrate int8.")
]
CalibrationMethodOption = Annotated[
    str, typer.Option(help=f"How these images set the ranges of int8: {', '.join(CALIBRATION_METHODS)}.")
]
CalibrationSeedOption = Annotated[
    int | None, typer.Option("--seed", min=0, help="Seed of the draw of calibration images; the run's by default.")
]
CalibrationDrawsOption = Annotated[
    int, typer.Option(min=0, help="Repeat int8 with this many draws of images and report the spread of its accuracy.")
]

TfliteLogitsOption = Annotated[
    LogitType,
    typer.Option(help="What a tflite file gives: its codes, or the float32 numbers that they stand for."),
]

NameOption = Annotated[
    str | None,
    typer.Option(
        "--name",
        help="Of a C folder: with which its files, functions and macros begin, so that two networks go into one "
        f"program.  [default: {DEFAULT_NAME}]",
        show_default=False,
    ),
]

# --- weights that were trained elsewhere

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="The recipe whose layers given weights are ('lenet-edge recipes'); without it their shapes tell.",
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option("--weights", help="With --net and --dataset: its state_dict; else those that the program loads."),
]
WeightsDatasetOption = Annotated[
    str | None, typer.Option("--dataset", help=f"The data that given weights are for: {DatasetHelp}")
]
WeightsMeanOption = Annotated[
    list[float] | None,
    typer.Option("--mean", help="Mean that given weights were trained with, of pixels in [0, 1]; once per channel."),
]
WeightsStdOption = Annotated[
    list[float] | None,
    typer.Option("--std", help="Standard deviation, like --mean. For a net that takes 0 to 255: --mean 0 --std 1/255."),
]
ActivationOption = Annotated[
    str | None, typer.Option("--activation", help=f"Of the net of given weights: {', '.join(IMPORTED_ACTIVATIONS)}.")
]
PoolingOption = Annotated[
    str | None,
    typer.Option(
        "--pooling",
        help="Of the net of given weights: max, or average; average-last where the activation comes before it, "
        "average-first where it comes behind.",
    ),
]
PaddingOption = Annotated[
    str | None,
    typer.Option(
        "--padding",
        help="Of the net of given weights: inside its first convolution (zeros of the normalised image), before "
        "normalisation (black pixels), or none.",
    ),
]
CheckOption = Annotated[
    bool, typer.Option(help="Find out on training images what net given weights are for, and whether it is good.")
]
AcceptAccuracyOption = Annotated[
    bool, typer.Option("--accept-accuracy", help="Take given weights however few training images they recognise.")
]

SbomOption = Annotated[
    bool, typer.Option("--sbom", help="Write a bill of materials too (CycloneDX 1.6, needs the extra sbom).")
]

# --- the web page

WebOption = Annotated[
    Path | None,
    typer.Option(help="Folder for a web page that runs the int8 network in a browser.", show_default=False),
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        help=f"With --web: what runs it there. {_ENGINE_HELP}.  [default: {DEFAULT_ENGINE}]", show_default=False
    ),
]
CdnOption = Annotated[
    str | None,
    typer.Option(help="With --web: load onnxruntime-web from this address instead of fetching it by npm."),
]


def chosen_formats(formats: list[str] | None, added: Sequence[str]) -> list[str]:
    """The formats asked for (or the default ones) and those added, each once; an unknown one is a usage error."""
    try:
        return checked_names([*(formats or DEFAULT_FORMATS), *added])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def check_name(name: str | None, formats: Sequence[str]) -> None:
    """A name in C that cannot be, or that no format has a use for, is a usage error."""
    try:
        chosen(name, formats)
    except ValueError as error:
        raise typer.BadParameter(f"--name: {error}") from None


def int8_plan(images: int, method: str, seed: int | None, layers: str, draws: int) -> Any:
    from lenet_edge.artefacts.calibration import LAYER_CHOICES, Int8Plan

    chosen_method = one_of(CALIBRATION_METHODS, method, "--calibration-method")
    chosen_layers = one_of(LAYER_CHOICES, layers, "--int8-layers")
    if draws == 1:
        raise typer.BadParameter("--calibration-draws takes 2 or more: one draw has no spread")
    return Int8Plan(images, chosen_method, seed, chosen_layers, draws)


def weights_said(
    run: Path | None,
    model: str | None,
    dataset: str | None,
    mean: list[float] | None,
    std: list[float] | None,
    activation: str | None,
    pooling: str | None,
    padding: str | None,
    check: bool,
    accept_accuracy: bool,
) -> Any:
    """What the options say of given weights (`Said`); None for a run. Contradictions are usage errors."""
    given = model or dataset or mean or std or activation or pooling or padding or not check or accept_accuracy
    if run is not None and run.suffix in WEIGHTS_SUFFIXES and not given and not is_export(run):
        raise typer.BadParameter(f"{run} is a weights file: say what it is for, by --dataset (and --model)")
    if run is None or not run.is_file():
        if given and run is not None and not run.exists():
            raise WeightsError(f"{run} does not exist: {near_path(run)}give the path of a state_dict")
        if given:
            raise typer.BadParameter(
                "--model, --dataset, --mean, --std and others that describe weights go with a weights file, not a run"
            )
        return None
    if not given:
        return None  # a file in place of a run, which finding the run refuses
    if dataset is None:
        raise typer.BadParameter(f"{run} is a weights file: say what it is for, by --dataset (and --model)")
    if bool(mean) != bool(std):
        raise typer.BadParameter("--mean and --std go together")
    for option, value, choices in (
        ("--activation", activation, IMPORTED_ACTIVATIONS),
        ("--pooling", pooling, ("average", *IMPORTED_POOLINGS)),
        ("--padding", padding, ("inside", "before", "none")),
    ):
        if value is not None:
            one_of(choices, value, option)
    from lenet_edge.artefacts.import_candidates import Said

    return Said(
        activation=activation,  # type: ignore[arg-type]
        pooling=pooling,
        padding=padding,
        mean=tuple(mean) if mean else None,
        std=tuple(std) if std else None,
        check=check,
        accept_accuracy=accept_accuracy,
    )


def check_own_options(
    run: Path | None, model: str | None, dataset: str | None, mean: list[float] | None, std: list[float] | None
) -> None:
    if run is not None or model is not None:
        raise typer.BadParameter("with --net, weights are given by --weights FILE; leave the run and --model out")
    if dataset is None:
        raise typer.BadParameter("--net with --weights: say what it is for, by --dataset")
    if bool(mean) != bool(std):
        raise typer.BadParameter("--mean and --std go together")


def is_foreign(run: Path | None, labels: str | None, scale: float | None) -> bool:
    """Whether what is exported is another tool's ONNX file; its options with anything else are usage errors."""
    from lenet_edge_runtime.classifier import carries_spec

    found = run is not None and run.suffix == ".onnx" and run.is_file() and not carries_spec(run)
    if not found and (labels or scale):
        raise typer.BadParameter("--labels and --scale go with another tool's ONNX file")
    return found


def check_foreign_options(run: Path | None, names: list[str], dataset: str | None, of_weights: Any) -> None:
    """Another tool's ONNX file wants a data set, and no formats or options that are for what it is not."""
    if dataset is None:
        raise typer.BadParameter(f"{run} is another tool's ONNX file: say what it is for, by --dataset")
    if of_weights:
        raise typer.BadParameter(
            "--model, --net, --activation, --pooling, --padding and --no-check are for weights: an ONNX file says "
            "itself what its layers are"
        )
    from lenet_edge.artefacts.exporting import check_foreign_formats

    check_foreign_formats(names)


def scaled(
    mean: list[float] | None, std: list[float] | None, scale: float | None
) -> tuple[list[float] | None, list[float] | None]:
    """Mean and standard deviation, also where --scale says them; contradictions are usage errors."""
    if bool(mean) != bool(std):
        raise typer.BadParameter("--mean and --std go together")
    if scale and mean:
        raise typer.BadParameter("--scale stands in place of --mean and --std: give one or the other")
    return ([0.0], [1 / scale]) if scale else (mean, std)


def check_web_options(web: Path | None, engine: str | None, cdn: str | None) -> None:
    from lenet_edge.web.page import check_folder

    if web is None:
        if engine or cdn:
            raise typer.BadParameter("--engine and --cdn go with --web")
        return
    if engine is not None:
        one_of(ENGINES, engine, "--engine")
    check_cdn(ENGINES[engine or DEFAULT_ENGINE], cdn)
    check_folder(web)
