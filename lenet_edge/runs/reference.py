"""A run's network in PyTorch: what every exported file is measured against."""

from pathlib import Path

from torch import nn

from lenet_edge.runs import checkpoints
from lenet_edge.data.datasets import load_dataset
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.models import build_model
from lenet_edge.runs import checkpoints
from lenet_edge.runs.run import Run, RunRecord
from lenet_edge_exporters.pixels import TorchModel, torch_model
from lenet_edge_runtime.errors import DataError


def load_net(run: Run, record: RunRecord) -> nn.Module:
    """The run's network with its final weights, in evaluation mode."""
    net = build_model(record.recipe.model)
    checkpoints.load_weights(run.weights_path, net)
    return net.eval()


def run_model(run: Run, threads: int = 1) -> TorchModel:
    """The run's network, taking raw pixels."""
    record = run.read()
    return torch_model(load_net(run, record), record.spec, threads)


def float_model(run: Run) -> TorchModel:
    """What the accuracy of the run's files is measured against: of a run by `train --qat` the network before it.

    Against its own weights a network that fake quantization made worse would lose nothing in int8.
    """
    record = run.read()
    if record.quantization is None:
        return run_model(run)
    net = build_model(record.recipe.model)
    checkpoints.load_weights(run.source_path, net)
    return torch_model(net, record.spec)


def load_run_data(run: Run, record: RunRecord, data_dir: Path | None) -> ImageData:
    """The data that the run was trained on; raise DataError where it is not the same any more."""
    data = load_dataset(run.dataset_argument(), data_dir)
    if data.md5s != record.data_md5s:
        raise DataError(f"the images of {record.dataset} are not those that {run.folder} was trained on; train again")
    return data
