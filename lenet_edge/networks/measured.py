"""What the recipes reached, one row a training, in measured.csv; `benchmarks/systems.py` writes that file."""

import csv
import statistics
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Measured:
    """Test accuracy over seeds; `sd` is that of a sample (n - 1), None for one seed."""

    mean: float
    sd: float | None
    n: int


def accuracy_of(recipe: str, dataset: str) -> Measured | None:
    """The test accuracy of a recipe's trainings on a data set; None where none was measured."""
    values = [float(row["test_accuracy"]) for row in rows() if row["recipe"] == recipe and row["dataset"] == dataset]
    if not values:
        return None
    return Measured(statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def rows() -> list[dict[str, str]]:
    """All rows of measured.csv."""
    text = resources.files("lenet_edge.networks").joinpath("measured.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
