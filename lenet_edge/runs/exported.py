"""Exported files and the runs that they came from. Needs no torch."""

from pathlib import Path

from lenet_edge.runs.finding import readable_runs
from lenet_edge.runs.opened import OpenedRun, open_run
from lenet_edge.runs.record import RunRecord
from lenet_edge.runs.run import RUNS, Run
from lenet_edge_exporters import FORMATS, LoadedModel, open_file
from lenet_edge_runtime import metadata
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.reading import real_path
from lenet_edge_runtime.sessions import sha256_of
from lenet_edge_runtime.spec import ModelSpec

PYTORCH = "pytorch"  # what a run's own network is called beside the formats of its files


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


def run_of(path: Path, data_dir: Path | None = None, trust: bool = False) -> OpenedRun | None:
    """The run that a file was exported from: its weights have the hash that the file carries, and it says the same.

    Weights alone do not tell runs apart: the same ones may have been imported twice, with other means or recipes.
    Looked for among the folders above the file and in the runs folder; None where it is in neither. `trust`: see
    `lenet_edge_exporters.open_file`.
    """
    _, model = open_file(path, trust=trust)
    wanted = weights_sha256_of(model)
    if wanted is None:
        return None
    for run in map(Run, real_path(path).parents):
        if _has_weights(run, wanted) and _says_the_same((found := open_run(run, data_dir)).record, model):
            return found
    for run, record in readable_runs(RUNS):
        if _has_weights(run, wanted) and _says_the_same(record, model):
            return OpenedRun(run, record, data_dir)
    return None


def _has_weights(run: Run, sha256: str) -> bool:
    return run.weights_path.is_file() and sha256_of(run.weights_path) == sha256


def _says_the_same(record: RunRecord, model: LoadedModel) -> bool:
    stated = [metadata.read_optional(model.metadata, key, metadata.anything) for key in ("recipe", "data_md5s")]
    return stated == [record.recipe.name, record.data_md5s] and ModelSpec.from_metadata(model.metadata) == record.spec


def weights_sha256_of(model: LoadedModel) -> str | None:
    """The SHA-256 of the run's weights file, as the exported file states it."""
    return metadata.read_optional(model.metadata, "weights_sha256", metadata.text)
