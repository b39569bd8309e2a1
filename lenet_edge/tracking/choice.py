"""Which trackers were asked for."""

from dataclasses import dataclass

from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.run import Run
from lenet_edge.tracking.tracker import Tracker
from lenet_edge_runtime.extras import require


@dataclass(frozen=True)
class Tracking:
    """What `--tensorboard` and `--mlflow` say."""

    tensorboard: bool = False
    mlflow: str | None = None  # where it is

    def check(self) -> None:
        """Raise MissingExtraError or TrackingError for what is missing, before anything is trained or written."""
        if self.tensorboard:
            require("tensorboard", "--tensorboard")
        if self.mlflow is not None:
            require("mlflow", "--mlflow")
            from lenet_edge.tracking import mlflow

            mlflow.check(self.mlflow)

    def of(self, run: Run) -> list[Tracker]:
        """The trackers of one run."""
        found = list[Tracker]()
        if self.tensorboard:
            from lenet_edge.tracking.tensorboard import TensorBoard

            found.append(TensorBoard(run))
        if self.mlflow is not None:
            from lenet_edge.tracking.mlflow import Mlflow

            found.append(Mlflow(run, self.mlflow))
        return found

    def keep(self, run: Run, data: ImageData) -> None:
        """All that is to be kept of a run that is finished, wherever it was trained, and is not kept yet."""
        for tracker in self.of(run):
            if not tracker.has_all:
                with tracker:
                    tracker.finish(run.read(), data)
