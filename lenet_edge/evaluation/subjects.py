"""What is evaluated: a run's network or an exported file, opened together with the test images that it is scored on."""

from dataclasses import dataclass
from pathlib import Path

from lenet_edge.data.datasets import DATASETS, load_dataset, load_for
from lenet_edge.data.image_data import ImageData
from lenet_edge.evaluation.evaluation import Evaluation, evaluate, open_model
from lenet_edge.evaluation.foreign_accuracy import FORMAT as FOREIGN
from lenet_edge.runs.exported import PYTORCH, run_of
from lenet_edge.runs.opened import OpenedRun
from lenet_edge.runs.record import RunRecord
from lenet_edge_exporters import LoadedModel
from lenet_edge_exporters.formats import is_export
from lenet_edge_runtime import metadata
from lenet_edge_runtime.errors import DataError
from lenet_edge_runtime.spec import ModelSpec


class UnnamedDataError(DataError):
    """A file does not say which data it belongs to, so the caller has to: wrong usage on the command line."""

    exit_code = 2


@dataclass(frozen=True)
class Subject:
    """A classifier, what it takes and answers, and the data it is scored on."""

    name: str  # the path of the run or the file
    format: str
    model: LoadedModel
    spec: ModelSpec
    data: ImageData

    def evaluate(self, mistakes: int, corrupted: int | None) -> Evaluation:
        """Run it on its test images and score it, as `evaluation.evaluate` does, and raise what that raises."""
        return evaluate(
            self.model, self.spec, self.data, name=self.name, format_name=self.format, mistakes=mistakes,
            corrupted=corrupted,
        )  # fmt: skip


def run_subject(opened: OpenedRun, dataset: str | None = None) -> Subject:
    """A run's network, on its own test images or on those of another data set."""
    return Subject(
        str(opened.run.folder), format_of_run(opened.record), opened.model, opened.record.spec, opened.images(dataset)
    )


def format_of_run(record: RunRecord) -> str:
    """What stands in the place of a file's format where the run's own network is scored."""
    return FOREIGN if record.is_foreign else PYTORCH


def file_subject(path: Path, dataset: str | None = None, data_dir: Path | None = None, trust: bool = False) -> Subject:
    """An exported file of any format, on the data that it was made from or on others.

    Raises DataError where the file does not say which data that is, or where they are not the same any more.
    `trust`: see `lenet_edge_exporters.open_file`.
    """
    format_name, model, spec = open_model(path, trust)
    data = load_for(spec, dataset, data_dir) if dataset else _own_data(path, model, data_dir, trust)
    return Subject(str(path), format_name, model, spec, data)


def is_file(path: Path) -> bool:
    """Whether a path is an exported file or folder, and not a run."""
    return path.is_file() or (is_export(path) and not (path / "run.json").is_file())


def _own_data(path: Path, model: LoadedModel, data_dir: Path | None, trust: bool) -> ImageData:
    """The data that a file was trained on: its run's where that is here, else what its metadata names."""
    stated = metadata.read_optional(model.metadata, "dataset", metadata.text)
    found = run_of(path, trust=trust)
    wanted = found.run.dataset_argument(found.record) if found else stated
    form = found.run.image_form(found.record) if found else None
    if wanted is None or (found is None and wanted not in DATASETS):
        raise UnnamedDataError(f"{path} does not say which data it belongs to: give --dataset")
    data = load_dataset(wanted, data_dir, form)
    if data.md5s != metadata.read_optional(model.metadata, "data_md5s", metadata.anything):
        raise DataError(f"the images of {stated} are not those that {path} was made from; name others by --dataset")
    return data
