"""Networks by a random draw: what small networks are made of, in any order, with any end and normalisation."""

from dataclasses import dataclass

import numpy as np
import torch
from own_networks import Joined, Mean, Residual
from torch import nn

from lenet_edge_exporters import ExportJob
from lenet_edge_runtime import ModelSpec

ACTIVATIONS = (
    nn.ReLU, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.Hardswish, nn.ELU, nn.Identity,
)  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """A job with a drawn network, and what it ends in."""

    job: ExportJob
    end: str  # "", "softmax" or "log_softmax"


def draw(seed: int) -> Drawn:
    """The network of this seed, with random weights, and images whose contrast differs."""
    generator = np.random.default_rng(seed)
    torch.manual_seed(seed)
    channels, size = int(generator.choice([1, 3])), int(generator.integers(14, 25))
    end = str(generator.choice(["", "", "softmax", "log_softmax"]))
    body = _dense(generator, channels * size * size) if generator.random() < 0.1 else _body(generator, channels, size)
    last = {"": [], "softmax": [nn.Softmax(1)], "log_softmax": [nn.LogSoftmax(1)]}[end]
    net = nn.Sequential(*body, *last)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    mean = tuple(float(value) for value in generator.choice([0.0, 0.13, 0.5, 0.3], channels))
    spec = ModelSpec(
        tuple("abcdef"), size, size, mean, tuple(generator.uniform(0.2, 1, channels).tolist()),
        padding=int(generator.choice([0, 0, 0, 2])),
    )  # fmt: skip
    if spec.padding:
        net = nn.Sequential(_Cropped(spec.padding), *net)
    contrast = generator.uniform(0.1, 1, (40, 1, 1, 1))
    pixels = (contrast * generator.integers(0, 256, (40, channels, size, size))).astype(np.uint8)
    return Drawn(ExportJob(net.eval(), spec, pixels, pixels), end)


class _Cropped(nn.Module):
    """Takes the padding away again that the spec adds, so that the layers behind see one size."""

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2 * padding + 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(x)


def _act(generator: np.random.Generator) -> nn.Module:
    return ACTIVATIONS[int(generator.integers(len(ACTIVATIONS)))]()


def _dense(generator: np.random.Generator, inputs: int) -> list[nn.Module]:
    width = int(generator.integers(8, 40))
    return [nn.Flatten(), nn.Linear(inputs, width), _act(generator), nn.Linear(width, 6)]


def _body(generator: np.random.Generator, channels: int, size: int) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.BatchNorm2d(channels)] if generator.random() < 0.15 else []
    width = int(generator.choice([4, 6, 8]))
    kernel, padding = int(generator.choice([1, 3, 5])), int(generator.integers(0, 3))
    layers += [
        nn.Conv2d(channels, width, kernel, int(generator.integers(1, 3)), padding, bias=bool(generator.random() < 0.7))
    ]
    layers += [nn.BatchNorm2d(width)] if generator.random() < 0.5 else []
    layers.append(_act(generator))
    for _ in range(int(generator.integers(0, 4))):
        made, width = _block(generator, width, _shape(layers, channels, size)[-1])
        layers += made
    width, _, side = _shape(layers, channels, size)
    return layers + _head(generator, width, side)


def _shape(layers: list[nn.Module], channels: int, size: int) -> tuple[int, int, int]:
    with torch.inference_mode():
        shape = nn.Sequential(*layers).eval()(torch.zeros(1, channels, size, size)).shape
    return int(shape[1]), int(shape[2]), int(shape[3])


def _block(generator: np.random.Generator, width: int, side: int) -> tuple[list[nn.Module], int]:
    kind = str(generator.choice(["plain", "depthwise", "residual", "joined", "dilated", "pool", "pool", "norm"]))
    act, wider = _act(generator), int(generator.choice([4, 8, 12]))
    if kind == "plain":
        return [nn.Conv2d(width, wider, 3, int(generator.integers(1, 3)), 1), act], wider
    if kind == "depthwise":
        return [nn.Conv2d(width, width, 3, 1, 1, groups=width), nn.BatchNorm2d(width), act,
                nn.Conv2d(width, wider, 1), act], wider  # fmt: skip
    if kind == "residual":
        return [Residual(width, width, 1, type(act))], width
    if kind == "joined":
        return [Joined(width, 4)], 8
    if kind == "dilated":
        return [nn.Conv2d(width, width, 3, padding=2, dilation=2, groups=2 if width % 2 == 0 else 1), act], width
    if kind == "norm":
        return [nn.BatchNorm2d(width)], width
    pools = [nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(max(1, side // 2))]
    return ([pools[int(generator.integers(len(pools)))]] if side >= 4 else []), width


def _head(generator: np.random.Generator, width: int, side: int) -> list[nn.Module]:
    kind = str(generator.choice(["flat", "flat", "global", "mean", "convolution", "two"]))
    if kind == "global":
        return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 6, bias=bool(generator.random() < 0.5))]
    if kind == "mean":
        return [nn.Conv2d(width, 6, 1), Mean()]
    if kind == "convolution":
        return [nn.Conv2d(width, 6, side), nn.Flatten()]
    if kind == "two":
        return [nn.Flatten(), nn.Linear(width * side * side, 16), _act(generator), nn.Linear(16, 6)]
    return [nn.Flatten(), nn.Dropout(), nn.Linear(width * side * side, 6)]
