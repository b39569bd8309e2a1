"""`lenet-edge predict`: needs the base install alone."""

from pathlib import Path
from typing import Annotated

import typer

from lenet_edge import console
from lenet_edge.options import JsonOption, LabelsOption, MeanOption, StdOption, TimeLimitOption, open_foreign
from lenet_edge_exporters.formats import FORMATS

NAME = "predict"
MODEL_SUFFIXES = tuple(row.suffix for row in FORMATS.values() if row.backend == "onnxruntime")


def run(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[MODEL] IMAGE...",
            help="An exported ONNX or ORT file and images; without a file, the latest run's int8 or else float32 one.",
        ),
    ],
    invert: Annotated[
        str,
        typer.Option(help="auto, yes or no: whether images are dark on light where the model wants light on dark."),
    ] = "auto",
    labels: LabelsOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    time_limit: TimeLimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Classify images with an exported ONNX or ORT file.

    With --labels the file may be another tool's ONNX classifier; it is run in a process of its own, under limits.

    Example: lenet-edge predict lenet5-mnist.int8.onnx digit.png
    """
    if invert not in ("auto", "yes", "no"):
        raise typer.BadParameter(f"--invert is auto, yes or no, got {invert!r}")
    from lenet_edge_runtime import Classifier

    model, images = _model_and_images(paths)
    foreign = open_foreign([model], labels, mean, std, time_limit)
    classifier = foreign[0] if foreign else Classifier(model)
    predictions = classifier.predict_batch(images, invert)  # type: ignore[arg-type]
    if as_json:
        console.print_json(
            [{"path": str(path), **vars(prediction)} for path, prediction in zip(images, predictions, strict=True)]
        )
        return
    console.print_table(
        f"{model}",
        ["image", "label", "probability"],
        [
            [str(path), prediction.label, console.percent(prediction.probability)]
            for path, prediction in zip(images, predictions, strict=True)
        ],
    )


def _model_and_images(paths: list[Path]) -> tuple[Path, list[Path]]:
    if not paths[0].name.endswith(MODEL_SUFFIXES):
        return _latest_model(), paths
    if len(paths) == 1:
        raise typer.BadParameter("give one or more images after the model")
    return paths[0], paths[1:]


def _latest_model() -> Path:
    from lenet_edge.runs import find_run
    from lenet_edge_runtime.errors import ModelFileError

    run = find_run(None)
    for pattern in ("*.int8.onnx", "*.onnx"):
        if files := sorted(run.export_folder.glob(pattern)):
            return files[0]
    raise ModelFileError(f"{run.folder} has no ONNX file; run 'lenet-edge export --int8' first, or name a model file")
