"""The networks: LeNet-5 (LeCun et al. 1998) in its variants, and plain convolutional nets of 3x3 convolutions."""

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn

from lenet_edge.networks import own
from lenet_edge.networks.architectures import (
    ConvNetConfig,
    Convolution,
    ImportedNetConfig,
    LeNetConfig,
    ModelConfig,
    OnnxNetConfig,
    OwnNetConfig,
)
from lenet_edge.networks.imported import imported_layers
from lenet_edge.networks.pooling import DeferredReLU, MaxPool2x2
from lenet_edge_exporters.foreign_net import ForeignNet

# Which maps of S2 (columns) each map of C3 (rows) sees: LeCun et al. 1998, Table I.
TABLE_I = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip


class Network(nn.Module):
    """A sequence of named layers; `config` is what it was built from."""

    def __init__(self, config: ModelConfig, layers: OrderedDict[str, nn.Module]) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.Sequential(layers)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images, float32 [n, channels, size, size], to logits, float32 [n, classes]."""
        logits: Tensor = self.layers(images)
        return logits


class LeNet5(Network):
    """Convolutions 6@5x5 and 16@5x5, each with an activation and 2x2 pooling, then dense 120, 84, classes.

    Takes normalised float32 [n, channels, size, size]; the classic size is 32, i.e. 28 x 28 padded by 2. There the
    paper's C5, a convolution 120@5x5 over maps of 5 x 5, is the dense layer it is here.
    """

    def __init__(self, config: LeNetConfig) -> None:
        side = ((config.size - 4) // 2 - 4) // 2
        if side < 1:
            raise ValueError(f"LeNet-5 needs images of at least 16 x 16 after padding, got {config.size}")
        super().__init__(
            config,
            OrderedDict(
                c1=_lenet_convolution(config, nn.Conv2d(config.channels, 6, 5), config.size - 4),
                s2=_lenet_pooling(config, config.size - 4),
                c3=_lenet_convolution(config, _c3(config), (config.size - 4) // 2 - 4),
                s4=_lenet_pooling(config, (config.size - 4) // 2 - 4),
                flatten=nn.Flatten(),
                c5=_lenet_dense(config, 16 * side * side, 120),
                f6=_lenet_dense(config, 120, 84),
                output=nn.Linear(84, config.classes),
            ),
        )


class ConvNet(Network):
    """Convolutions 3x3 with ReLU and max pooling as the config lists them, then dense layers with ReLU."""

    def __init__(self, config: ConvNetConfig) -> None:
        widths = [config.channels, *(item.channels for item in config.convolutions)]
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        side = config.size - 2
        for number, (item, (inputs, outputs)) in enumerate(
            zip(config.convolutions, pairwise(widths), strict=True), start=1
        ):
            convolution = nn.Conv2d(inputs, outputs, 3, padding=0 if number == 1 else 1)
            norm: list[nn.Module] = [nn.BatchNorm2d(outputs)] if config.batch_norm else []
            pool = _pool(item, side) if item.pool else None
            layers[f"c{number}"] = nn.Sequential(convolution, *norm, _relu_before(pool))
            if pool is not None:
                layers[f"s{number}"] = pool
                side = (side - item.pool) // item.stride + 1
        if side < 1:
            raise ValueError(f"images of {config.size} x {config.size} are too small for this network's pooling")
        layers["flatten"] = nn.Flatten()
        if config.dropout:
            layers["dropout"] = nn.Dropout(config.dropout)
        dense = [widths[-1] * side * side, *config.dense]
        for number, (inputs, outputs) in enumerate(pairwise(dense), start=1):
            norm = [nn.BatchNorm1d(outputs)] if config.batch_norm else []
            layers[f"d{number}"] = nn.Sequential(nn.Linear(inputs, outputs), *norm, nn.ReLU())
        layers["output"] = nn.Linear(dense[-1], config.classes)
        super().__init__(config, layers)


class PartialConvolution(nn.Conv2d):
    """A convolution of which some connections are missing: those weights are zero, and stay so in training.

    Exported it is an ordinary convolution with zeros in it. `connected` is bool [out_channels, in_channels].
    """

    def __init__(self, connected: Tensor, kernel_size: int) -> None:
        outputs, inputs = connected.shape
        super().__init__(inputs, outputs, kernel_size)
        mask = connected[:, :, None, None].float()
        self.connections = int(connected.sum())
        with torch.no_grad():
            # torch draws for `inputs` maps; a map that sees fewer gets weights as large as if it had only those.
            self.weight.mul_(mask * (inputs / mask.sum(1, keepdim=True)).sqrt())
        self.register_buffer("mask", mask, persistent=False)
        self.weight.register_hook(lambda gradient: gradient * self.mask)  # type: ignore[no-untyped-call]

    mask: Tensor


def build_model(config: ModelConfig) -> Network:
    """The network that a recipe or a record describes, with fresh weights from torch's generator."""
    if isinstance(config, OwnNetConfig):
        return Network(config, own.layers_of(config))
    if isinstance(config, OnnxNetConfig):
        return Network(config, OrderedDict(own=ForeignNet(config.bytes, config.classes)))
    if isinstance(config, ImportedNetConfig):
        return Network(config, imported_layers(config))
    return LeNet5(config) if isinstance(config, LeNetConfig) else ConvNet(config)


def deployed_parameters(net: nn.Module) -> int:
    """Weights and biases as deployed: BatchNorm is folded into the layer before it, missing connections are none."""
    folded = (nn.BatchNorm1d, nn.BatchNorm2d)
    return sum(
        parameter.numel()
        for module in net.modules()
        if not isinstance(module, folded)
        for parameter in module.parameters(recurse=False)
    ) - sum(
        (module.in_channels * module.out_channels - module.connections) * module.weight[0, 0].numel()
        for module in net.modules()
        if isinstance(module, PartialConvolution)
    )


def multiply_accumulates(net: Network) -> int:
    """Multiply-accumulates of one image in convolutions and dense layers; missing connections are none."""
    counts: list[int] = []

    def count(module: nn.Module, _inputs: object, output: Tensor) -> None:
        if isinstance(module, PartialConvolution):
            counts.append(module.connections * module.weight[0, 0].numel() * output[0, 0].numel())
        elif isinstance(module, nn.Conv2d):
            counts.append(module.weight[0].numel() * output[0].numel())
        elif isinstance(module, nn.Linear):
            counts.append(module.weight.numel())

    handles = [module.register_forward_hook(count) for module in net.modules()]
    config, was_training = net.config, net.training
    with torch.inference_mode():
        net.eval()(torch.zeros(1, config.channels, config.size, config.size))
    net.train(was_training)
    for handle in handles:
        handle.remove()
    return sum(counts)


def _c3(config: LeNetConfig) -> nn.Conv2d:
    if config.connections == "full":
        return nn.Conv2d(6, 16, 5)
    connected = torch.zeros(16, 6, dtype=torch.bool)
    for row, columns in zip(connected, TABLE_I, strict=True):
        row[list(columns)] = True
    return PartialConvolution(connected, 5)


def _lenet_convolution(config: LeNetConfig, convolution: nn.Conv2d, side: int) -> nn.Sequential:
    """Layer and activation, whose output has this side and is pooled next."""
    has_norm = config.batch_norm and config.norm_convolutions
    norm = [nn.BatchNorm2d(convolution.out_channels)] if has_norm else []
    relu = _relu_before(_lenet_pooling(config, side)) if config.activation == "relu" else _activation(config)
    return nn.Sequential(convolution, *norm, relu)


def _lenet_dense(config: LeNetConfig, inputs: int, outputs: int) -> nn.Sequential:
    norm = [nn.BatchNorm1d(outputs)] if config.batch_norm else []
    dropout = [nn.Dropout(config.dropout)] if config.dropout else []
    return nn.Sequential(nn.Linear(inputs, outputs), *norm, _activation(config), *dropout)


def _activation(config: LeNetConfig) -> nn.Module:
    return nn.Tanh() if config.activation == "tanh" else nn.ReLU()


def _lenet_pooling(config: LeNetConfig, side: int) -> nn.Module:
    if config.pooling == "average":
        return nn.AvgPool2d(2)
    return _max_pool_2x2(side, rectifies=config.activation == "relu")


def _pool(item: Convolution, side: int) -> nn.Module:
    if item.pool == item.stride == 2:
        return _max_pool_2x2(side, rectifies=True)
    return nn.MaxPool2d(item.pool, item.stride)


def _max_pool_2x2(side: int, rectifies: bool) -> nn.Module:
    return MaxPool2x2(rectifies) if side % 2 == 0 else nn.MaxPool2d(2)


def _relu_before(pool: nn.Module | None) -> nn.Module:
    return DeferredReLU() if isinstance(pool, MaxPool2x2) else nn.ReLU()
