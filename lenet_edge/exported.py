"""Exported files and the runs that they came from. Needs no torch."""

import json
from pathlib import Path

from lenet_edge.runs import RUNS, Run
from lenet_edge_exporters import FORMATS, LoadedModel, open_file
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.sessions import sha256_of
from lenet_edge_runtime.spec import PREFIX


def exported_files(run: Run) -> list[Path]:
    """The files in the run's export folder, in the order of the table of formats."""
    found = [
        path
        for row in FORMATS.values()
        for path in sorted(run.export_folder.glob(f"*{row.suffix}"))
        if ".rejected" not in path.suffixes
        and not any(
            path.name.endswith(other.suffix) for other in FORMATS.values() if len(other.suffix) > len(row.suffix)
        )
    ]
    if not found:
        raise ModelFileError(f"{run.folder} has no exported files; run 'lenet-edge export {run.folder} --int8' first")
    return found


def run_of(path: Path) -> Run | None:
    """The run that a file was exported from, by the hash of the weights that the file carries.

    Looked for among the folders above the file and in the runs folder; None where it is in neither.
    """
    _, model = open_file(path)
    wanted = weights_sha256_of(model)
    above = [Run(folder) for folder in path.resolve().parents]
    for run in [*above, *(Run(path.parent) for path in sorted(RUNS.glob("*/run.json")))]:
        if wanted is not None and run.weights_path.is_file() and sha256_of(run.weights_path) == wanted:
            return run
    return None


def weights_sha256_of(model: LoadedModel) -> str | None:
    """The SHA-256 of the run's weights file, as the exported file states it."""
    found: str | None = json.loads(model.metadata.get(PREFIX + "weights_sha256", "null"))
    return found
