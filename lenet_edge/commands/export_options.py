"""What `lenet-edge export` is asked: its options, in groups, and whether they go together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lenet_edge.options import one_of, split_names
from lenet_edge.web.engines import DEFAULT_ENGINE, ENGINES, check_cdn
from lenet_edge_exporters.export_job import CALIBRATION_METHODS, MAX_CALIBRATION_IMAGES, OPSETS, LogitType
from lenet_edge_exporters.formats import FORMATS, checked_names
from lenet_edge_runtime.spec import InputType

DEFAULT_FORMATS = ("torchscript", "onnx")
_ENGINE_HELP = "; ".join(f"{row.name}: {row.summary}" for row in ENGINES.values())
_FORMAT_HELP = "; ".join(f"{row.name}: {row.summary}" for row in FORMATS.values())

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
    typer.Option(
        "--format",
        help=f"One, or several between commas. {_FORMAT_HELP}.  [default: torchscript, onnx]",
        callback=split_names,
    ),
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


def int8_plan(images: int, method: str, seed: int | None, layers: str, draws: int) -> Any:
    from lenet_edge.artefacts.calibration import LAYER_CHOICES, Int8Plan

    chosen_method = one_of(CALIBRATION_METHODS, method, "--calibration-method")
    chosen_layers = one_of(LAYER_CHOICES, layers, "--int8-layers")
    if draws == 1:
        raise typer.BadParameter("--calibration-draws takes 2 or more: one draw has no spread")
    return Int8Plan(images, chosen_method, seed, chosen_layers, draws)


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
