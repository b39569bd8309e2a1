"""The table of recipes: a network and how it is trained, one row each. Knows no torch, so that `--help` stays fast."""

from dataclasses import dataclass
from typing import Literal

from lenet_edge_runtime.errors import LenetEdgeError


@dataclass(frozen=True)
class LeNetConfig:
    """The variants of LeNet-5."""

    activation: Literal["relu", "tanh"]
    pooling: Literal["max", "average"]
    batch_norm: bool = False  # after every layer but the last; folded into its layer when exported
    dropout: float = 0.0  # after the dense layers but the last
    channels: int = 1
    size: int = 32  # of the padded image
    classes: int = 10


@dataclass(frozen=True)
class Recipe:
    """A network and its training. The data's own traits (what may be augmented) are in the table of data sets."""

    name: str
    summary: str
    source: str
    model: LeNetConfig
    epochs: int
    learning_rate: float  # the peak, of a cosine warm-up and a cosine decay to zero
    batch_size: int = 128
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 0.0  # of weights alone, not of biases and BatchNorm
    label_smoothing: float = 0.0
    warmup: float = 0.2  # share of all steps
    average_decay: float = 0.0  # of the exponential moving average that becomes the final weights; 0: none
    augment: bool = True
    padding: int = 2  # 28 x 28 becomes LeNet's 32 x 32
    minimum_steps: int = 1000  # a set of a few hundred images needs more passes than one of 55,000


RECIPES = {
    row.name: row
    for row in (
        Recipe(
            name="lenet5",
            summary="our best net of 61,706 parameters: ReLU, max pooling, BatchNorm (folded when exported)",
            source="LeCun et al. 1998, with BatchNorm (Ioffe & Szegedy 2015) and weight averaging",
            model=LeNetConfig(activation="relu", pooling="max", batch_norm=True),
            epochs=40,
            learning_rate=0.2,
            weight_decay=5e-4,
            label_smoothing=0.05,
            average_decay=0.998,
        ),
        Recipe(
            name="lenet5-classic",
            summary="the textbook net: tanh, average pooling, dense 120-84-10 on 28 x 28 padded to 32 x 32",
            source="LeCun et al. 1998, with full connections in C3 and a linear output",
            model=LeNetConfig(activation="tanh", pooling="average"),
            epochs=15,
            learning_rate=0.05,
            batch_size=64,
            weight_decay=1e-4,
        ),
    )
}
DEFAULT_RECIPE = "lenet5"


def find_recipe(name: str) -> Recipe:
    """The recipe of this name; an unknown one raises LenetEdgeError with the names there are."""
    if name not in RECIPES:
        raise LenetEdgeError(f"no recipe is called {name!r}; choose {', '.join(RECIPES)}")
    return RECIPES[name]
