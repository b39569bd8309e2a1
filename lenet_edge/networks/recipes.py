"""The table of recipes: a network and how it is trained, one row each. Knows no torch, so that `--help` stays fast."""

import re
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from lenet_edge.networks.architectures import (
    ConvNetConfig,
    Convolution,
    LeNetConfig,
    ModelConfig,
    OwnNetConfig,
    Share,
)
from lenet_edge_runtime.errors import LenetEdgeError
from lenet_edge_runtime.near_names import did_you_mean
from lenet_edge_runtime.records import FileName, Within

Rate = Annotated[float, Within(0, 1e6)]
Steps = Annotated[int, Within(0, 10**9)]
STRANGERS = 0.25  # of `train --strangers`; an eighth costs half as much and refuses a little less


@dataclass(frozen=True)
class Recipe:
    """A network and its training. The data's own traits (what may be augmented) are in the table of data sets."""

    name: Annotated[str, FileName()]
    summary: str
    source: str
    model: ModelConfig
    epochs: Annotated[int, Within(1, 1_000_000)]
    learning_rate: Annotated[float, Within(0, 3e38)]  # the peak, of a cosine warm-up and decay; or the constant
    batch_size: Annotated[int, Within(1, 2**20)] = 128
    momentum: Share = 0.9  # of SGD; Adam has torch's defaults, 0.9 and 0.999
    nesterov: bool = True
    weight_decay: Annotated[float, Within(0, 1e3)] = 0.0  # of weights alone, not of biases and BatchNorm
    label_smoothing: Share = 0.0
    warmup: Share = 0.2  # share of all steps
    strangers: Share = 0.0  # images of none of the classes beside each batch, as a share of it (`data.strangers`)
    average_decay: Share = 0.0  # of the exponential moving average that becomes the final weights; 0: none
    augment: bool = True
    padding: Annotated[int, Within(0, 256)] = 2  # 28 x 28 becomes LeNet's 32 x 32
    minimum_steps: Annotated[int, Within(0, 10**9)] = (
        1000  # a set of a few hundred images needs more passes than one of 55,000
    )
    optimizer: Literal["sgd", "adam", "muon"] = "sgd"
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    made_for: Annotated[str, FileName()] = "mnist"  # the data set it is trained on where none is named
    vertical_flip: bool = False  # also augment by turning images upside down, half of the time
    jitter: Share = 0.0  # also augment brightness and contrast, by up to this share
    veil: Share = 0.0  # of the images, that lie behind a veil: a lighter ground, less contrast (`data.augmentation`)
    whole_pixels: Share = 0.0  # of the images, that are shifted by whole pixels alone: the others are blurred
    normalisation: tuple[float, float] | None = None  # mean and std in place of the data's own
    class_weights: Literal["none", "balanced"] = "none"  # of the loss; balanced: the rarer a class, the heavier
    patience: Annotated[int, Within(1, 1_000_000)] | None = (
        None  # epochs without a better validation accuracy that end the training; the best is kept
    )

    def changed(self, **given: Any) -> "Recipe":
        """The recipe with these fields in place of its own; None leaves a field as it is."""
        return replace(self, **{name: value for name, value in given.items() if value is not None})


_LENET5 = Recipe(
    name="lenet5",
    summary="our best net of 61,706 parameters: ReLU, max pooling, BatchNorm (folded when exported)",
    source="LeCun et al. 1998, with BatchNorm (Ioffe & Szegedy 2015) and weight averaging",
    model=LeNetConfig(activation="relu", pooling="max", batch_norm=True),
    epochs=40,
    learning_rate=0.2,
    weight_decay=5e-4,
    label_smoothing=0.05,
    average_decay=0.998,
)
_TANH_NET = LeNetConfig(activation="tanh", pooling="average")
_CLASSIC = Recipe(
    name="lenet5-classic",
    summary="the textbook net: tanh, average pooling, dense 120-84-10 on 28 x 28 padded to 32 x 32",
    source="LeCun et al. 1998, with full connections in C3 and a linear output",
    model=_TANH_NET,
    epochs=15,
    learning_rate=0.05,
    batch_size=64,
    weight_decay=1e-4,
)
_PARTIAL = replace(
    _CLASSIC,
    name="lenet5-partial",
    summary="the classic net with C3 connected as in the paper: 60 of 96 pairs of maps",
    source="LeCun et al. 1998, with Table I and a linear output",
    model=replace(_TANH_NET, connections="partial"),
)
# As the students trained it: no augmentation, a constant rate, plain momentum.
_AS_REPORTED: dict[str, Any] = {
    "learning_rate": 0.01,
    "schedule": "constant",
    "nesterov": False,
    "weight_decay": 0.0,
    "augment": False,
}
_STUDY = replace(
    _CLASSIC,
    name="study-baseline",
    summary="regularisation study: the classic net without any",
    source="a study of regularisation on LeNet-5, with convolutions 1-6-16-120",
    made_for="fashion-mnist",
    epochs=10,
    weight_decay=0.0,
    augment=False,
)
_FASHION_CNN = Recipe(
    name="fashion-cnn",
    summary="two 3x3 convolutions of 32 and 64 maps, max pooling, dense 128",
    source="a student's base model for clothes: convolutions, ReLU, max pooling, dense layers, Adam",
    model=ConvNetConfig(convolutions=(Convolution(32, pool=2), Convolution(64, pool=2)), dense=(128,)),
    made_for="fashion-mnist",
    padding=1,
    optimizer="adam",
    epochs=20,
    learning_rate=0.003,
    average_decay=0.998,
)
_FASHION_ENHANCED = replace(
    _FASHION_CNN,
    name="fashion-cnn-enhanced",
    summary="three 3x3 convolutions of 32, 64 and 128 maps, dense 256, BatchNorm, dropout",
    source="a student's enhanced model for clothes: deeper, wider, BatchNorm, dropout, augmentation",
    model=ConvNetConfig(
        convolutions=(Convolution(32, pool=2), Convolution(64, pool=2), Convolution(128, pool=2)),
        dense=(256,),
        batch_norm=True,
        dropout=0.25,
    ),
    epochs=15,
    learning_rate=0.004,
)
_DIGITS_CNN = Recipe(
    name="digits-cnn",
    summary="three 3x3 convolutions of 4, 16 and 64 maps, BatchNorm, max pooling, dropout, dense 128-32",
    source="a student's net for digits: BatchNorm throughout, dropout 0.5, log-softmax, Adam",
    model=ConvNetConfig(
        convolutions=(Convolution(4, pool=2), Convolution(16, pool=2), Convolution(64, pool=3, stride=2)),
        dense=(128, 32),
        batch_norm=True,
        dropout=0.5,
    ),
    padding=1,
    optimizer="adam",
    epochs=40,
    learning_rate=0.01,
    average_decay=0.998,
    batch_size=96,
    jitter=0.2,
    normalisation=(0.5, 0.5),
)

_IMAGES_CNN = replace(
    _FASHION_CNN,
    name="images-cnn",
    summary="four 3x3 convolutions of 16, 32, 64 and 64 maps, BatchNorm, dense 64: for your own images up to 96 x 96",
    source="the usual small convolutional net: 3x3 convolutions, BatchNorm, max pooling (Simonyan & Zisserman 2015)",
    model=ConvNetConfig(
        convolutions=tuple(Convolution(channels, pool=2) for channels in (16, 32, 64, 64)),
        dense=(64,),
        batch_norm=True,
        dropout=0.2,
    ),
    batch_size=32,
)

RECIPES = {
    row.name: row
    for row in (
        _LENET5,
        replace(
            _LENET5,
            name="lenet5-fast",
            summary="a good network in seconds: lenet5 in one epoch; --epochs 3 for more",
            source="lenet5 on a short schedule",
            epochs=1,
            minimum_steps=400,
        ),
        replace(
            _LENET5,
            name="lenet5-best",
            summary="the most accurate of LeNet-5's size: lenet5, longer, by Muon, on images that are less blurred",
            source="lenet5, with orthogonalised steps (Muon, Jordan et al. 2024)",
            epochs=50,
            learning_rate=0.1,
            optimizer="muon",
            weight_decay=4e-3,
            label_smoothing=0.0,
            average_decay=0.999,
            whole_pixels=0.5,
        ),
        replace(
            _LENET5,
            name="lenet5-robust",
            summary="lenet5 for light or uneven grounds: a tenth of the training images lie behind a veil",
            source="lenet5, with random linear changes of contrast and ground",
            veil=0.1,
        ),
        _CLASSIC,
        replace(
            _LENET5,
            name="lenet5-clothes",
            summary="LeNet-5 on 28 x 28 without padding: ReLU, max pooling, BatchNorm on the dense layers",
            source="a student's LeNet-5 for clothes with BatchNorm after dense 120 and 84",
            model=LeNetConfig("relu", "max", batch_norm=True, norm_convolutions=False, size=28),
            made_for="fashion-mnist",
            padding=0,
            epochs=20,
        ),
        _PARTIAL,
        replace(
            _PARTIAL,
            name="lenet5-partial-reported",
            summary="the partly connected net as reported: SGD 0.01, momentum 0.9, batch 64, 15 epochs",
            **_AS_REPORTED,
        ),
        replace(
            _CLASSIC,
            name="lenet5-classic-reported",
            summary="the fully connected net as reported: SGD 0.01, momentum 0.9, batch 64, 15 epochs",
            **_AS_REPORTED,
        ),
        _STUDY,
        replace(
            _STUDY,
            name="study-dropout",
            summary="regularisation study: dropout of one half after the dense layers",
            model=replace(_TANH_NET, dropout=0.5),
        ),
        replace(_STUDY, name="study-weight-decay", summary="regularisation study: weight decay", weight_decay=5e-4),
        replace(
            _STUDY,
            name="study-batch-norm",
            summary="regularisation study: BatchNorm after every layer but the last",
            model=replace(_TANH_NET, batch_norm=True),
        ),
        _FASHION_CNN,
        _FASHION_ENHANCED,
        replace(
            _FASHION_ENHANCED,
            name="fashion-cnn-enhanced-flips",
            summary="the enhanced net augmented by vertical flips too, as reported",
            vertical_flip=True,
        ),
        _IMAGES_CNN,
        _DIGITS_CNN,
        replace(
            _DIGITS_CNN,
            name="digits-cnn-reported",
            summary="the digits net at a constant rate of 0.001 without weight averaging, as reported",
            learning_rate=0.001,
            schedule="constant",
            average_decay=0.0,
        ),
    )
}
DEFAULT_RECIPE = "lenet5"


def own_recipe(program: str) -> Recipe:
    """How a network of the user's own program (`networks.own`) is trained where nothing else is said."""
    return Recipe(
        name=re.sub(r"[^A-Za-z0-9._-]+", "-", program.rpartition(":")[2]).strip(".-") or "own",
        summary=f"the network of {program}",
        source=f"its user's own program {program}",
        model=OwnNetConfig(program),
        epochs=15,
        learning_rate=0.003,
        optimizer="adam",
        average_decay=0.998,
        padding=0,
    )


def foreign_recipe(file: str, model: ModelConfig) -> Recipe:
    """What a record says of another tool's ONNX file in the place of a recipe; nothing trains it."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", file.removesuffix(".onnx")).strip(".-") or "theirs"
    return Recipe(
        name=name[:60],
        summary=f"the graph of {file[:200]}",
        source=f"another tool's ONNX file {file[:200]}",
        model=model,
        epochs=1,
        learning_rate=0.0,
        padding=0,
    )


def find_recipe(name: str) -> Recipe:
    """The recipe of this name; an unknown one raises LenetEdgeError with the names there are."""
    if name not in RECIPES:
        raise LenetEdgeError(f"no recipe is called {name!r}; {did_you_mean(name, RECIPES)}choose {', '.join(RECIPES)}")
    return RECIPES[name]
