"""What a network is made of, as data: LeNet-5, convolutional nets, and nets from elsewhere. Knows no torch."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from lenet_edge_runtime.records import Sized, Within

Activation = Literal["relu", "tanh"]
Share = Annotated[float, Within(0, 1)]
Channels = Annotated[int, Within(1, 3)]  # of images
Side = Annotated[int, Within(1, 1024)]  # of a padded image, in pixels
Classes = Annotated[int, Within(2, 10_000)]
Width = Annotated[int, Within(1, 16_384)]  # of a layer


@dataclass(frozen=True)
class LeNetConfig:
    """The variants of LeNet-5 (LeCun et al. 1998): convolutions 6@5x5 and 16@5x5, dense 120, 84, classes."""

    activation: Activation
    pooling: Literal["max", "average"]
    batch_norm: bool = False  # after every layer but the last; folded into its layer when exported
    dropout: Share = 0.0  # after the dense layers but the last
    channels: Channels = 1
    size: Side = 32  # of the padded image
    classes: Classes = 10
    norm_convolutions: bool = True  # False: batch_norm means the dense layers alone
    connections: Literal["full", "partial"] = "full"  # of C3: partial is Table I of LeCun et al. 1998
    architecture: Literal["lenet5"] = "lenet5"


@dataclass(frozen=True)
class Convolution:
    """A 3x3 convolution that keeps the size, ReLU, and max pooling if any."""

    channels: Width
    pool: Annotated[int, Within(0, 64)] = 0  # width of the pooling window; 0: none
    stride: Annotated[int, Within(1, 64)] = 2  # of the pooling


@dataclass(frozen=True)
class ConvNetConfig:
    """Convolutions 3x3 and dense layers with ReLU.

    The first convolution's zero padding is the recipe's: black pixels around the raw image, not normalised grey.
    """

    convolutions: Annotated[tuple[Convolution, ...], Sized(1, 16)]
    dense: Annotated[tuple[Width, ...], Sized(0, 16)]  # widths of the layers between the convolutions and the output
    batch_norm: bool = False  # after every layer but the last; folded into its layer when exported
    dropout: Share = 0.0  # of the flattened maps
    channels: Channels = 1
    size: Side = 30  # of the padded image
    classes: Classes = 10
    architecture: Literal["convnet"] = "convnet"


@dataclass(frozen=True)
class OwnNetConfig:
    """A network of the user's own program (`networks.own`), which nothing imports because a record names it."""

    program: Annotated[str, Sized(1, 1000)]  # module:callable, or file.py:callable without the file's folder
    channels: Channels = 1
    size: Side = 28
    classes: Classes = 10
    architecture: Literal["own"] = "own"


@dataclass(frozen=True)
class OnnxNetConfig:
    """Another tool's ONNX file, whose bytes are the weights (`lenet_edge_exporters.foreign_net`)."""

    bytes: Annotated[int, Within(1, 2**28)]
    channels: Channels = 1
    size: Side = 28  # of the image that it takes, with what was padded around it
    classes: Classes = 10
    architecture: Literal["onnx"] = "onnx"


ImportedActivation = Literal["relu", "tanh", "sigmoid", "leaky-relu", "elu", "gelu", "silu"]
IMPORTED_ACTIVATIONS: tuple[ImportedActivation, ...] = get_args(ImportedActivation)
IMPORTED_POOLINGS = ("max", "average-last", "average-first")  # behind the activation, or before it


@dataclass(frozen=True)
class ImportedConvolution:
    """A square convolution of stride 1, and the pooling behind it; its padding are zeros of the normalised image."""

    channels: Width
    kernel: Annotated[int, Within(1, 64)]
    padding: Annotated[int, Within(0, 64)] = 0
    pool: Annotated[int, Within(0, 64)] = 0  # width of the pooling window; 0: none
    stride: Annotated[int, Within(1, 64)] = 2  # of the pooling
    bias: bool = True
    batch_norm: bool = False


@dataclass(frozen=True)
class ImportedDense:
    """A dense layer; the last one gives the logits and has no activation."""

    width: Width
    bias: bool = True
    batch_norm: bool = False


@dataclass(frozen=True)
class ImportedNetConfig:
    """What weights from elsewhere turned out to belong to: convolutions, then dense layers, one activation."""

    convolutions: Annotated[tuple[ImportedConvolution, ...], Sized(0, 16)]
    dense: Annotated[tuple[ImportedDense, ...], Sized(1, 16)]
    activation: ImportedActivation
    pooling: Literal["max", "average"] = "max"
    pool_first: bool = False  # pooling before the activation: with average pooling another net
    norm_last: bool = False  # BatchNorm behind the activation instead of before it
    resized: Annotated[int, Within(0, 1024)] = 0  # side that the image is scaled to first (bilinear); 0: none
    channels: Channels = 1
    size: Side = 28  # of the image that the net takes, with what was padded around it before normalisation
    classes: Classes = 10
    architecture: Literal["imported"] = "imported"


ModelConfig = LeNetConfig | ConvNetConfig | OwnNetConfig | OnnxNetConfig | ImportedNetConfig
