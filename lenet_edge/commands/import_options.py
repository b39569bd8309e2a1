"""What `lenet-edge export` is told of weights and files that were trained elsewhere, and whether it goes together."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lenet_edge.networks.architectures import IMPORTED_ACTIVATIONS, IMPORTED_POOLINGS
from lenet_edge.options import DatasetHelp, one_of
from lenet_edge_exporters.formats import is_export
from lenet_edge_runtime.errors import WeightsError
from lenet_edge_runtime.near_names import near_path
from lenet_edge_runtime.pretrained_files import pretrained_name

WEIGHTS_SUFFIXES = (".pth", ".pt", ".safetensors", ".ckpt")  # names of weights, here or not, that nothing was said of

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
CalibrateOption = Annotated[
    bool,
    typer.Option(
        "--calibrate",
        help="Fold into given weights the temperature, and put into their files the threshold of none of these, that "
        "the validation images of --dataset ask for.",
    ),
]


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
    calibrate: bool,
) -> Any:
    """What the options say of given weights (`Said`); None for a run. Contradictions are usage errors."""
    of_the_net = model or dataset or mean or std or activation or pooling or padding
    given = of_the_net or not check or accept_accuracy or calibrate
    if run is not None and run.suffix in WEIGHTS_SUFFIXES and not given and not is_export(run):
        raise typer.BadParameter(f"{run} is a weights file: say what it is for, by --dataset (and --model)")
    if run is None or not run.is_file():
        if given and run is not None and not run.exists() and not pretrained_name(run):
            raise WeightsError(f"{run} does not exist: {near_path(run)}give the path of a state_dict")
        if given:
            raise typer.BadParameter(
                "--model, --dataset, --calibrate and others for weights go with a weights file, or with --net and "
                "--dataset, and not with a run"
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
        calibrate=calibrate,
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
