"""history.csv: one row an epoch."""

import contextlib
import csv
import io
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any

from lenet_edge.runs.run import Run
from lenet_edge_exporters import atomic
from lenet_edge_runtime import records
from lenet_edge_runtime.errors import RunError
from lenet_edge_runtime.reading import read_text
from lenet_edge_runtime.records import Within


@dataclass(frozen=True)
class Epoch:
    """One row of history.csv; accuracies are fractions, of augmented training images and of validation images.

    `seconds` includes validation, `images_per_second` does not.
    """

    epoch: Annotated[int, Within(1, 1_000_000)]
    learning_rate: float
    train_loss: float
    train_accuracy: Annotated[float, Within(0, 1)]
    val_loss: float
    val_accuracy: Annotated[float, Within(0, 1)]
    seconds: Annotated[float, Within(0, 1e12)]
    images_per_second: Annotated[float, Within(0, 1e15)]


def read_history(run: Run) -> list[Epoch]:
    """The rows of history.csv; raises RunError where it is missing or damaged."""
    try:
        return [
            records.from_fields(Epoch, {key: _number(value) for key, value in row.items()}, f"row {number}")
            for number, row in enumerate(csv.DictReader(io.StringIO(read_text(run.history_path))), start=1)
        ]
    except (OSError, ValueError, csv.Error) as error:
        raise RunError(f"{run.history_path} is missing or damaged ({error}); train again") from None


def _number(text: Any) -> Any:
    """A cell as the number that it is, or as it is."""
    for kind in (int, float):
        with contextlib.suppress(ValueError, TypeError):
            return kind(text)
    return text


def write_history(run: Run, history: list[Epoch]) -> None:
    """Write history.csv anew, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [item.name for item in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in history)
    atomic.write_text(run.history_path, text.getvalue())
