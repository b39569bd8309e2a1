"""Which model `lenet-edge predict` answers with, and which of its arguments are images."""

from pathlib import Path

import typer

from lenet_edge import console
from lenet_edge_exporters.formats import FORMATS
from lenet_edge_runtime.pretrained_files import PREFIX, no_such_network, pretrained_file, pretrained_name

MODEL_SUFFIXES = tuple(row.suffix for row in FORMATS.values() if row.backend in ("onnxruntime", "litert"))
MODELS = f"the model is an ONNX, ORT or TFLite file ({', '.join(MODEL_SUFFIXES)}) and goes before the images"


def model_and_images(paths: list[Path]) -> tuple[Path, list[Path]]:
    """The model file, named or the latest run's, and the images; raises typer.BadParameter for a model among them."""
    named = paths[0].name.endswith(MODEL_SUFFIXES) or str(paths[0]).startswith(PREFIX)
    for path in paths[named:]:
        _refuse_model(path)
    if not named:
        return _latest_model(), paths
    if len(paths) == 1:
        raise typer.BadParameter("give one or more images after the model")
    return _pretrained(paths[0]) or paths[0], paths[1:]


def _refuse_model(path: Path) -> None:
    """Raise for what stands among the images and is a model: the answers would be another one's."""
    from lenet_edge.runs.run import RUNS
    from lenet_edge_exporters.formats import is_export
    from lenet_edge_runtime.shared_library import is_library

    run = path if path.exists() else RUNS / path
    if (run / "run.json").is_file():
        raise typer.BadParameter(f"{path} is a run: name a file of it, from {run}/export; {MODELS}")
    if is_export(path) or is_library(path):
        raise typer.BadParameter(f"{path} is no image: {MODELS}")


def _pretrained(given: Path) -> Path | None:
    """The file of a network that comes with the package, where `given` is the name of one."""
    if not str(given).startswith(PREFIX):
        return None
    if (name := pretrained_name(given)) is None:
        raise typer.BadParameter(no_such_network(given))
    return pretrained_file(name)


def _latest_model() -> Path:
    from lenet_edge.runs.finding import find_run
    from lenet_edge.runs.run import RUNS
    from lenet_edge_runtime.errors import ModelFileError

    if not any(RUNS.glob("*/run.json")):
        console.say("there is no run here: answered by pretrained:mnist, the network that comes with lenet-edge")
        return pretrained_file("mnist")
    run = find_run(None).run
    for pattern in ("*.int8.onnx", "*.onnx"):
        if files := sorted(file for file in run.export_folder.glob(pattern) if ".rejected" not in file.suffixes):
            return files[0]
    raise ModelFileError(f"{run.folder} has no ONNX file; run 'lenet-edge export --int8' first, or name a model file")
