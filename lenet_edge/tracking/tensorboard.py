"""A run as TensorBoard shows it, by torch's own SummaryWriter, in the folder `tensorboard` of the run.

These files are logs, not artefacts: no manifest lists them and no export takes them, for their names hold the host's.
"""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.exported import PYTORCH
from lenet_edge.runs.history import Epoch, read_history
from lenet_edge.runs.record import RunRecord
from lenet_edge.runs.run import Run
from lenet_edge.tracking.confusion import as_pixels, draw_confusion
from lenet_edge.tracking.tracker import Tracker, figures_of, parameters_of
from lenet_edge_runtime.printable import printable

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from lenet_edge.evaluation.evaluation import Evaluation

FOLDER = "tensorboard"
IMAGES = 32  # of the training images, and at most of the mistakes


class TensorBoard(Tracker):
    """Scalars of every epoch as it ends; at the end parameters, test figures, confusion matrix and sample images."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._writer: SummaryWriter | None = None

    @property
    def has_all(self) -> bool:
        """Whether there is a file that was still written to when the run was finished."""
        finished = self.run.record_path.stat().st_mtime_ns
        return any(path.stat().st_mtime_ns > finished for path in self._files())

    def epoch_done(self, epoch: Epoch, _epochs: int) -> None:
        """Add the epoch; the first time all epochs that the run has, in place of an earlier file."""
        if self._writer is None:
            self._open()
        else:
            self._add(epoch)
        self._open().flush()

    def finish(self, record: RunRecord, data: ImageData) -> None:
        """Score the run's network on the test images, and add what is known only then."""
        from lenet_edge.evaluation.evaluation import evaluate
        from lenet_edge.runs.reference import run_model

        writer, step = self._open(), int(record.metrics["epochs"])
        scored = evaluate(
            run_model(self.run), record.spec, data, name=self.run.name, format_name=PYTORCH, mistakes=IMAGES
        )
        writer.add_text("parameters", _listed(parameters_of(record)), step)
        for name, value in record.metrics.items():
            writer.add_scalar(f"final/{name}", value, step)
        matrix = as_pixels(draw_confusion(scored.confusion_matrix, data.labels))
        writer.add_image("confusion_matrix", matrix, step, dataformats="HWC")
        writer.add_images("images/training", data.train_pixels[:IMAGES], step)
        if scored.mistakes:
            wrong = np.array([item.index for item in scored.mistakes])
            writer.add_images("images/mistakes", data.test_pixels[wrong], step)
            writer.add_text("mistakes", _listed(_described(scored)), step)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _files(self) -> list[Path]:
        return list((self.run.folder / FOLDER).glob("events.out.tfevents.*"))

    def _open(self) -> "SummaryWriter":
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            for earlier in self._files():
                earlier.unlink()
            self._writer = SummaryWriter(str(self.run.folder / FOLDER))
            for epoch in read_history(self.run):
                self._add(epoch)
        return self._writer

    def _add(self, epoch: Epoch) -> None:
        for name, value in figures_of(epoch).items():
            self._open().add_scalar(name, value, epoch.epoch)


def _described(scored: "Evaluation") -> dict[str, str]:
    """The mistakes in the order of their images."""
    return {
        f"no. {item.index}": f"is {item.true}, was called {item.predicted} with {100 * item.probability:.2f} %"
        for item in scored.mistakes
    }


def _listed(values: dict[str, str]) -> str:
    """As Markdown that takes nothing in the values for markup: lines of code."""
    return "\n".join(f"    {name}: {printable(value)}" for name, value in values.items())
