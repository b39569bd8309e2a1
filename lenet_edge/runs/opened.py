"""A run that was opened: its record read once, its images and its network loaded where they are first asked for."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lenet_edge.data.datasets import load_dataset, load_for
from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.record import RunRecord
from lenet_edge.runs.run import Run
from lenet_edge_runtime.errors import DataError

if TYPE_CHECKING:
    from lenet_edge.networks.models import Network
    from lenet_edge_exporters.pixels import TorchModel


@dataclass(frozen=True)
class OpenedRun:
    """What travels from whoever opened a run to whoever needs something of it."""

    run: Run
    record: RunRecord
    data_dir: Path | None = None  # where its data set is looked for first

    @cached_property
    def data(self) -> ImageData:
        """The images that the run was trained on; raises DataError where they are not the same any more."""
        data = load_dataset(self.run.dataset_argument(self.record), self.data_dir, self.run.image_form(self.record))
        if data.md5s != self.record.data_md5s:
            raise DataError(
                f"the images of {self.record.dataset} are not those that {self.run.folder} was trained on; train again"
            )
        return data

    def images(self, dataset: str | None) -> ImageData:
        """The run's own data, or a data set of this name or path, in the form that the network takes."""
        own = self.run.dataset_argument(self.record)
        if dataset is None or dataset == own or (Path(own).exists() and Path(dataset).resolve() == Path(own)):
            return self.data
        return load_for(self.record.spec, dataset, self.data_dir)

    @cached_property
    def net(self) -> "Network":
        """The network with the run's final weights, in evaluation mode, on normalised images."""
        from lenet_edge.runs.reference import load_net

        return load_net(self.run, self.record)

    @cached_property
    def model(self) -> "TorchModel":
        """The network, taking raw pixels."""
        from lenet_edge_exporters.pixels import torch_model

        return torch_model(self.net, self.record.spec)

    @cached_property
    def float_model(self) -> "TorchModel":
        """What the accuracy of the run's files is measured against: see `reference.float_model`."""
        from lenet_edge.runs.reference import float_model

        return self.model if self.record.quantization is None else float_model(self.run, self.record)


def open_run(run: Run, data_dir: Path | None = None) -> OpenedRun:
    """Read the run's record; raises RunError where there is none or it is damaged."""
    return OpenedRun(run, run.read(), data_dir)
