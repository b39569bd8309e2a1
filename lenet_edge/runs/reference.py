"""A run's network in PyTorch: what every exported file is measured against."""

from lenet_edge.networks.models import Network, build_model
from lenet_edge.runs import checkpoints
from lenet_edge.runs.record import RunRecord
from lenet_edge.runs.run import Run
from lenet_edge_exporters import manifest
from lenet_edge_exporters.pixels import TorchModel, torch_model


def load_net(run: Run, record: RunRecord) -> Network:
    """The run's network with its final weights, in evaluation mode."""
    net = build_model(record.recipe.model)
    manifest.check(run.weights_path)
    checkpoints.load_weights(run.weights_path, net)
    return net.eval()


def run_model(run: Run, threads: int = 1) -> TorchModel:
    """The run's network, read anew, taking raw pixels."""
    record = run.read()
    return torch_model(load_net(run, record), record.spec, threads)


def float_model(run: Run, record: RunRecord) -> TorchModel:
    """The network that a run by `train --qat` started from.

    Its files are measured against that one: against its own weights a network that fake quantization made worse would
    lose nothing in int8.
    """
    net = build_model(record.recipe.model)
    manifest.check(run.source_path)
    checkpoints.load_weights(run.source_path, net)
    return torch_model(net, record.spec)
