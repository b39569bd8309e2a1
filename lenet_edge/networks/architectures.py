"""What a network is made of, as data: LeNet-5, convolutional nets, and nets from elsewhere. Knows no torch."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

Activation = Literal["relu", "tanh"]


@dataclass(frozen=True)
class LeNetConfig:
    """The variants of LeNet-5 (LeCun et al. 1998): convolutions 6@5x5 and 16@5x5, dense 120, 84, classes."""

    activation: Activation
    pooling: Literal["max", "average"]
    batch_norm: bool = False  # after every layer but the last; folded into its layer when exported
    dropout: float = 0.0  # after the dense layers but the last
    channels: int = 1
    size: int = 32  # of the padded image
    classes: int = 10
    norm_convolutions: bool = True  # False: batch_norm means the dense layers alone
    connections: Literal["full", "partial"] = "full"  # of C3: partial is Table I of LeCun et al. 1998
    architecture: Literal["lenet5"] = "lenet5"


@dataclass(frozen=True)
class Convolution:
    """A 3x3 convolution that keeps the size, ReLU, and max pooling if any."""

    channels: int
    pool: int = 0  # width of the pooling window; 0: none
    stride: int = 2  # of the pooling


@dataclass(frozen=True)
class ConvNetConfig:
    """Convolutions 3x3 and dense layers with ReLU.

    The first convolution's zero padding is the recipe's: black pixels around the raw image, not normalised grey.
    """

    convolutions: tuple[Convolution, ...]
    dense: tuple[int, ...]  # widths of the layers between the convolutions and the output
    batch_norm: bool = False  # after every layer but the last; folded into its layer when exported
    dropout: float = 0.0  # of the flattened maps
    channels: int = 1
    size: int = 30  # of the padded image
    classes: int = 10
    architecture: Literal["convnet"] = "convnet"


@dataclass(frozen=True)
class OwnNetConfig:
    """A network of the user's own program (`networks.own`), which nothing imports because a record names it."""

    program: str  # module:callable, or file.py:callable without the file's folder
    channels: int = 1
    size: int = 28
    classes: int = 10
    architecture: Literal["own"] = "own"


ImportedActivation = Literal["relu", "tanh", "sigmoid", "leaky-relu", "elu", "gelu", "silu"]
IMPORTED_ACTIVATIONS: tuple[ImportedActivation, ...] = get_args(ImportedActivation)


@dataclass(frozen=True)
class ImportedConvolution:
    """A square convolution of stride 1, and the pooling behind it; its padding are zeros of the normalised image."""

    channels: int
    kernel: int
    padding: int = 0
    pool: int = 0  # width of the pooling window; 0: none
    stride: int = 2  # of the pooling
    bias: bool = True
    batch_norm: bool = False


@dataclass(frozen=True)
class ImportedDense:
    """A dense layer; the last one gives the logits and has no activation."""

    width: int
    bias: bool = True
    batch_norm: bool = False


@dataclass(frozen=True)
class ImportedNetConfig:
    """What weights from elsewhere turned out to belong to: convolutions, then dense layers, one activation."""

    convolutions: tuple[ImportedConvolution, ...]
    dense: tuple[ImportedDense, ...]
    activation: ImportedActivation
    pooling: Literal["max", "average"] = "max"
    pool_first: bool = False  # pooling before the activation: with average pooling another net
    norm_last: bool = False  # BatchNorm behind the activation instead of before it
    resized: int = 0  # side to which the image is scaled first (bilinear); 0: it is taken as it is
    channels: int = 1
    size: int = 28  # of the image that the net takes, with what was padded around it before normalisation
    classes: int = 10
    architecture: Literal["imported"] = "imported"


ModelConfig = LeNetConfig | ConvNetConfig | OwnNetConfig | ImportedNetConfig


def config_from_fields(values: dict[str, Any]) -> ModelConfig:
    """From the JSON object of a record; one that names no architecture is an older one of LeNet-5."""
    if values.get("architecture", "lenet5") == "lenet5":
        return LeNetConfig(**values)
    if values["architecture"] == "own":
        return OwnNetConfig(**values)
    if values["architecture"] == "imported":
        layers = tuple(ImportedConvolution(**item) for item in values["convolutions"])
        dense = tuple(ImportedDense(**item) for item in values["dense"])
        return ImportedNetConfig(**{**values, "convolutions": layers, "dense": dense})
    convolutions = tuple(Convolution(**item) for item in values["convolutions"])
    return ConvNetConfig(**{**values, "convolutions": convolutions, "dense": tuple(values["dense"])})
