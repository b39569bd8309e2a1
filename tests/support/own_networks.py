"""Networks as other people write them, with random weights: those of well-known programs, and one of each operator.

MLPerf Tiny's shapes: https://github.com/mlcommons/tiny (image classification, keyword spotting, visual wake words).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MnistExample(nn.Module):
    """The network of pytorch/examples/mnist: valid convolutions, dropout, log_softmax at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
        x = F.relu(self.fc1(torch.flatten(self.dropout1(x), 1)))
        return F.log_softmax(self.fc2(self.dropout2(x)), dim=1)


class CifarTutorial(nn.Module):
    """The network of PyTorch's tutorial on CIFAR-10."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.pool, self.conv2 = nn.Conv2d(3, 6, 5), nn.MaxPool2d(2, 2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.conv2(self.pool(F.relu(self.conv1(x))))))
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))))


class Residual(nn.Module):
    """Two convolutions and a way past them, as in He et al. 2016; `act` follows the sum."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, act: Callable[[], nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), act(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        plain = inputs == outputs and stride == 1
        self.past = nn.Identity() if plain else nn.Conv2d(inputs, outputs, 1, stride)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.body(x) + self.past(x))


class Joined(nn.Module):
    """Channels of two convolutions side by side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([F.relu(self.wide(x)), torch.tanh(self.narrow(x))], 1)


class Mean(nn.Module):
    """The mean over an image, as a call."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def resnet8() -> nn.Module:
    """MLPerf Tiny's image classifier."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(), Residual(16, 16), Residual(16, 32, 2),
        Residual(32, 64, 2), nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def separable(inputs: int, outputs: int, stride: int, act: Callable[[], nn.Module] = nn.ReLU) -> list[nn.Module]:
    """A depthwise convolution and one of single pixels."""
    return [
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False), nn.BatchNorm2d(inputs), act(),
        nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), act(),
    ]  # fmt: skip


def mobilenet() -> nn.Module:
    """MobileNet v1 with a quarter of its channels."""
    blocks = [(8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2)]
    layers = [layer for block in blocks for layer in separable(*block, act=nn.ReLU6)]
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU6(), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(128, 10),
    )  # fmt: skip


def ds_cnn() -> nn.Module:
    """MLPerf Tiny's keyword spotter, for spectrograms of 49 x 10."""
    layers = [layer for _ in range(4) for layer in separable(64, 64, 1)]
    return nn.Sequential(
        nn.Conv2d(1, 64, (10, 4), 2, (5, 1)), nn.BatchNorm2d(64), nn.ReLU(), nn.Dropout(0.2), *layers,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 12),
    )  # fmt: skip


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


def with_activation(act: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), act, nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, stride=2), act, nn.Flatten(),
        nn.Linear(288, 20), act, nn.Linear(20, 10),
    )  # fmt: skip


KNOWN: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "pytorch/examples mnist": (MnistExample, (1, 28, 28)),
    "CIFAR-10 tutorial": (CifarTutorial, (3, 32, 32)),
    "ResNet-8": (resnet8, (3, 32, 32)),
    "MobileNet": (mobilenet, (3, 32, 32)),
    "MLP": (mlp, (1, 28, 28)),
    "DS-CNN": (ds_cnn, (1, 49, 10)),
}

GREY = (1, 28, 28)
OPERATORS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    **{
        type(act).__name__: (lambda act=act: with_activation(act), GREY)
        for act in (
            nn.ReLU6(), nn.LeakyReLU(0.1), nn.Hardswish(), nn.Hardsigmoid(), nn.GELU(), nn.SiLU(), nn.ELU(),
            nn.Softplus(), nn.Mish(), nn.Sigmoid(), nn.Tanh(), nn.PReLU(),
        )
    },
    "GELU by tanh": (lambda: with_activation(nn.GELU("tanh")), GREY),
    "BatchNorm first": (lambda: nn.Sequential(nn.BatchNorm2d(3), *CifarTutorialLayers()), (3, 32, 32)),
    "pooling first": (lambda: nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(),
                                            nn.Linear(576, 10)), GREY),
    "BatchNorm behind ReLU": (lambda: nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.BatchNorm2d(6), nn.MaxPool2d(2),
                                                    nn.Flatten(), nn.Linear(864, 10)), GREY),
    "Concat": (lambda: nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), Joined(4, 6), nn.MaxPool2d(2), nn.Flatten(),
                                     nn.Linear(1728, 10)), GREY),
    "dilated": (lambda: nn.Sequential(nn.Conv2d(1, 8, 3, dilation=2, padding=2), nn.ReLU(),
                                      nn.Conv2d(8, 8, 3, groups=2, dilation=3), nn.ReLU(), Mean(), nn.Linear(8, 10)),
                GREY),
    "convolution last": (lambda: nn.Sequential(nn.Conv2d(1, 8, 5, 2), nn.ReLU(), nn.Conv2d(8, 10, 12), nn.Flatten()),
                         GREY),
    "mean last": (lambda: nn.Sequential(nn.Conv2d(1, 8, 5, 2), nn.ReLU(), nn.Conv2d(8, 10, 3), Mean()), GREY),
    "adaptive pooling": (lambda: nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(7),
                                               nn.Flatten(), nn.Linear(392, 10, bias=False)), GREY),
    "Softmax": (lambda: nn.Sequential(*mlp(), nn.Softmax(1)), GREY),  # type: ignore[misc]
    "ZeroPad": (lambda: nn.Sequential(nn.ZeroPad2d(2), nn.Conv2d(1, 6, 5), nn.ReLU(), nn.Flatten(),
                                      nn.Linear(4704, 10)), GREY),
}  # fmt: skip


def CifarTutorialLayers() -> list[nn.Module]:
    return [nn.Conv2d(3, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(384, 10)]
