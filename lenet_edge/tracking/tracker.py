"""What every tracker is, a watcher of a training that hears of its end too; and what it calls what it hears."""

import json
from dataclasses import asdict
from types import TracebackType
from typing import Self

from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.history import Epoch
from lenet_edge.runs.record import RunRecord
from lenet_edge.runs.run import Run
from lenet_edge.training.watcher import Watcher

TEXTS = ("summary", "source", "made_for")  # of a recipe, which say nothing of the training


class Tracker(Watcher):
    """Keeps what becomes of one run; a context manager around its training."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @property
    def has_all(self) -> bool:
        """Whether all of the finished run is kept already."""
        return False

    def finish(self, record: RunRecord, data: ImageData) -> None:
        """Called once the run is finished, with its record and its images."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing more comes."""


def figures_of(epoch: Epoch) -> dict[str, float]:
    """The figures of an epoch; accuracies are fractions, of training images as they were augmented."""
    return {
        "loss/train": epoch.train_loss,
        "loss/validation": epoch.val_loss,
        "accuracy/train": epoch.train_accuracy,
        "accuracy/validation": epoch.val_accuracy,
        "learning_rate": epoch.learning_rate,
        "images_per_second": epoch.images_per_second,
    }


def parameters_of(record: RunRecord) -> dict[str, str]:
    """All that a training was asked for, and the versions that did it, as texts."""
    recipe = {name: value for name, value in asdict(record.recipe).items() if name not in TEXTS}
    asked = {"seed": record.seed, "device": record.device, "threads": record.threads, "processes": record.processes}
    versions = {f"version.{name}": version for name, version in record.versions.items()}
    both = {"recipe": recipe.pop("name"), "dataset": record.dataset, **recipe, **asked, **versions}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in both.items()}
