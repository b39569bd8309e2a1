"""history.csv: one row an epoch."""

import csv
import io
from dataclasses import asdict, dataclass, fields

from lenet_edge.runs.run import Run
from lenet_edge_exporters import atomic
from lenet_edge_runtime.errors import RunError
from lenet_edge_runtime.reading import read_text


@dataclass(frozen=True)
class Epoch:
    """One row of history.csv; accuracies are fractions, of augmented training images and of validation images.

    `seconds` includes validation, `images_per_second` does not.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float
    images_per_second: float


def read_history(run: Run) -> list[Epoch]:
    """The rows of history.csv; raises RunError where it is missing or damaged."""
    try:
        return [
            Epoch(epoch=int(row.pop("epoch")), **{key: float(value) for key, value in row.items()})
            for row in csv.DictReader(io.StringIO(read_text(run.history_path)))
        ]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise RunError(f"{run.history_path} is missing or damaged ({error!r}); train again") from None


def write_history(run: Run, history: list[Epoch]) -> None:
    """Write history.csv anew, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [item.name for item in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in history)
    atomic.write_text(run.history_path, text.getvalue())
