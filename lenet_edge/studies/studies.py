"""A study: recipes trained with the same seeds on one data set. Its folder can be copied, and grows by what is asked.

studies/mnist/
    runs/lenet5-mnist-seed0/  a run like any other, one for each recipe and seed
    study.json                what `compare --json` printed last
    results.csv               one row a run of the last comparison
    comparisons.csv           one row a pair of recipes and metric
    accuracy.png, curves.png  to look at

A run is found by what its run.json says, not by its folder's name. A finished one serves again where recipe (as used,
with its epochs; texts aside), data md5s and seed are the same: threads, processes and device change sums in their last
bits only, as another seed would. An unfinished one is gone on with where the device is the same too.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.recipes import Recipe
from lenet_edge.runs.finding import readable_runs
from lenet_edge.runs.record import RunRecord
from lenet_edge.runs.run import Run
from lenet_edge_runtime.errors import RunError

STUDIES = Path("studies")
METRICS = ("train_accuracy", "val_accuracy", "test_accuracy")  # of a finished run, which a study compares
REFUSED = ("strangers_refused", "test_refused")  # of one that was trained with strangers


@dataclass(frozen=True)
class Member:
    """A recipe with a seed, and the run that is or will be its training."""

    recipe: str
    seed: int
    run: Run
    finished: bool  # before this command

    @property
    def name(self) -> str:
        return f"{self.recipe} seed {self.seed}"


@dataclass(frozen=True)
class Study:
    """A folder of runs, and the comparison drawn from them."""

    folder: Path

    @property
    def runs_folder(self) -> Path:
        return self.folder / "runs"

    @property
    def results_path(self) -> Path:
        return self.folder / "results.csv"

    @property
    def comparisons_path(self) -> Path:
        return self.folder / "comparisons.csv"

    @property
    def document_path(self) -> Path:
        return self.folder / "study.json"

    @property
    def accuracy_path(self) -> Path:
        return self.folder / "accuracy.png"

    @property
    def curves_path(self) -> Path:
        return self.folder / "curves.png"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the study; raise RunError where one is in it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with Run(self.folder).locked():
            yield

    def enrol(self, records: Sequence[RunRecord], data: ImageData) -> list[Member]:
        """A member for each record: the run in the folder that answers to it, or a new one before its first epoch.

        Raises RunError for a finished run of a version that did not measure what is compared.
        """
        present = list(readable_runs(self.runs_folder))
        return [self._member(record, present, data) for record in records]

    def _member(self, wanted: RunRecord, present: list[tuple[Run, RunRecord]], data: ImageData) -> Member:
        for run, record in present:
            finished = record.status == "finished"
            if identity(record) == identity(wanted) and (finished or record.device == wanted.device):
                if finished and any(metric not in record.metrics for metric in metrics_of(record.recipe)):
                    raise RunError(f"{run.folder} is of an older version, which measured less; remove or move it")
                return Member(wanted.recipe.name, wanted.seed, run, finished)
        run = self._new_run(f"{wanted.recipe.name}-{wanted.dataset}-seed{wanted.seed}")
        run.remember_data(data)
        run.write(wanted)
        return Member(wanted.recipe.name, wanted.seed, run, finished=False)

    def _new_run(self, stem: str) -> Run:
        folders = (self.runs_folder / (stem if number == 1 else f"{stem}-{number}") for number in count(1))
        folder = next(path for path in folders if not (path / "run.json").exists())
        folder.mkdir(parents=True, exist_ok=True)
        return Run(folder)


def identity(record: RunRecord) -> tuple[Any, ...]:
    """What makes two trainings the same one, but for the last bits of sums."""
    return settings_of(record.recipe), record.data_md5s, record.seed, record.quantization


def metrics_of(recipe: Recipe) -> tuple[str, ...]:
    """What a finished run of this recipe measured, and a study shows; fractions all."""
    return (*METRICS, *(REFUSED if recipe.strangers else ()))


def settings_of(recipe: Recipe) -> Recipe:
    """The recipe without what only describes it."""
    return replace(recipe, summary="", source="", made_for="")
