"""The layers of a net from elsewhere, as `ImportedNetConfig` describes it, and our own nets described in that way."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import nn

from lenet_edge.networks.architectures import (
    ConvNetConfig,
    ImportedActivation,
    ImportedConvolution,
    ImportedDense,
    ImportedNetConfig,
    LeNetConfig,
    ModelConfig,
    OnnxNetConfig,
    OwnNetConfig,
)
from lenet_edge.networks.pooling import MaxPool2x2
from lenet_edge_runtime.errors import WeightsError

ACTIVATIONS: dict[ImportedActivation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "leaky-relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


def imported_layers(config: ImportedNetConfig) -> OrderedDict[str, nn.Module]:
    """The layers in their order: c1, c2, ... with their pooling, flatten, d1, d2, ..., output."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if config.resized:
        layers["resize"] = nn.Upsample((config.resized, config.resized), mode="bilinear")
    inputs = config.channels
    sides = sides_of(config)
    for number, (item, side) in enumerate(zip(config.convolutions, sides, strict=False), start=1):
        layers[f"c{number}"] = nn.Sequential(*_convolution(config, item, inputs, side))
        inputs = item.channels
    layers["flatten"] = nn.Flatten()
    inputs *= sides[-1] ** 2
    for number, dense in enumerate(config.dense, start=1):
        linear = nn.Linear(inputs, dense.width, bias=dense.bias)
        norm = [nn.BatchNorm1d(dense.width)] if dense.batch_norm else []
        is_last = number == len(config.dense)
        behind = norm if is_last else _behind(config, norm)
        layers["output" if is_last else f"d{number}"] = nn.Sequential(linear, *behind) if behind else linear
        inputs = dense.width
    return layers


def sides_of(config: ImportedNetConfig) -> list[int]:
    """Width of the maps behind each convolution, before its pooling, and last that of those that are flattened.

    Raises ValueError where a window is wider than the maps it runs over.
    """
    side, sides = config.resized or config.size, []
    for item in config.convolutions:
        side += 2 * item.padding - item.kernel + 1
        sides.append(side)
        if side < max(1, item.pool):
            raise ValueError(f"images of {config.size} x {config.size} are too small for this network")
        if item.pool:
            side = (side - item.pool) // item.stride + 1
    return [*sides, side]


def as_imported(config: ModelConfig) -> ImportedNetConfig:
    """One of our nets in the words of `ImportedNetConfig`: the same tensors in the same order, the same answers."""
    if isinstance(config, ImportedNetConfig):
        return config
    if isinstance(config, OnnxNetConfig):
        raise WeightsError("another tool's ONNX file is not described by its layers: give it to export")
    if isinstance(config, OwnNetConfig):
        raise WeightsError("a program's own network is not described by its layers: give it by --net")
    if isinstance(config, LeNetConfig):
        norm = config.batch_norm and config.norm_convolutions
        convolutions = tuple(ImportedConvolution(n, 5, pool=2, batch_norm=norm) for n in (6, 16))
        widths: tuple[int, ...] = (120, 84)
        activation, pooling = config.activation, config.pooling
    else:
        convolutions = tuple(_as_imported(config, index) for index in range(len(config.convolutions)))
        widths, activation, pooling = config.dense, "relu", "max"
    dense = (*(ImportedDense(width, batch_norm=config.batch_norm) for width in widths), ImportedDense(config.classes))
    return ImportedNetConfig(
        convolutions, dense, activation, pooling, channels=config.channels, size=config.size, classes=config.classes
    )


def without_batch_norm(config: ModelConfig) -> ModelConfig:
    """The net that is left where BatchNorm is folded into the layer before it; WeightsError where it stands behind."""
    if isinstance(config, OnnxNetConfig):
        raise WeightsError("another tool's ONNX file cannot be trained on: leave out --qat")
    if isinstance(config, OwnNetConfig):
        raise WeightsError("the layers of a program's own network are not ours to fold: leave out --qat")
    if not isinstance(config, ImportedNetConfig):
        return replace(config, batch_norm=False)
    if config.norm_last:
        raise WeightsError("BatchNorm behind the activation folds into no layer before it: leave out --qat")
    convolutions = tuple(
        replace(item, batch_norm=False, bias=item.bias or item.batch_norm) for item in config.convolutions
    )
    dense = tuple(replace(item, batch_norm=False, bias=item.bias or item.batch_norm) for item in config.dense)
    return replace(config, convolutions=convolutions, dense=dense)


def _as_imported(config: ConvNetConfig, index: int) -> ImportedConvolution:
    item = config.convolutions[index]
    padding = 1 if index else 0
    return ImportedConvolution(item.channels, 3, padding, item.pool, item.stride, batch_norm=config.batch_norm)


def _convolution(config: ImportedNetConfig, item: ImportedConvolution, inputs: int, side: int) -> Iterator[nn.Module]:
    norm = [nn.BatchNorm2d(item.channels)] if item.batch_norm else []
    pool = [_pooling(config, item, side)] if item.pool else []
    yield nn.Conv2d(inputs, item.channels, item.kernel, padding=item.padding, bias=item.bias)
    if config.pool_first:
        yield from (*pool, *_behind(config, norm)) if config.norm_last else (*norm, *pool, *_behind(config, []))
    else:
        yield from (*_behind(config, norm), *pool)


def _behind(config: ImportedNetConfig, norm: Sequence[nn.Module]) -> list[nn.Module]:
    activation = ACTIVATIONS[config.activation]()
    return [activation, *norm] if config.norm_last else [*norm, activation]


def _pooling(config: ImportedNetConfig, item: ImportedConvolution, side: int) -> nn.Module:
    if config.pooling == "average":
        return nn.AvgPool2d(item.pool, item.stride)
    fast = item.pool == item.stride == 2 and side % 2 == 0
    return MaxPool2x2() if fast else nn.MaxPool2d(item.pool, item.stride)
