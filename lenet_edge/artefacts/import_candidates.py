"""The nets that a file of weights may hold, with what its user says of them, the likeliest first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lenet_edge.artefacts.variant_search import Chains
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.architectures import ImportedActivation
from lenet_edge.networks.imported import as_imported
from lenet_edge.networks.layer_tensors import Layer, NoChainError, chain_of
from lenet_edge.networks.models import build_model
from lenet_edge.networks.recipes import Recipe
from lenet_edge.networks.tensor_files import TensorFile
from lenet_edge.networks.variants import RARE, USUAL, Normalisation, Variant, structures, variants
from lenet_edge.networks.weights import check_values, load_foreign_weights
from lenet_edge.runs.record import fitted_to
from lenet_edge_runtime.errors import WeightsError
from lenet_edge_runtime.spec import ModelSpec

# What others normalise by: the data sets' own, and what tutorials use.
OF_DATA = {"mnist": (0.1307, 0.3081), "fashion-mnist": (0.2860, 0.3530)}
TUTORIALS = ((0.0, 1.0), (0.5, 0.5), (0.0, 1 / 255))  # 0 to 1; -1 to 1; raw 0 to 255
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Said:
    """What the user says of the net, each None where it is to be found; and what is to be done with the finding."""

    activation: ImportedActivation | None = None
    pooling: str | None = None  # one of IMPORTED_POOLINGS, or "average" in either order
    padding: str | None = None  # "inside" (zeros of the normalised image), "before" (black pixels), "none"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    check: bool = True
    accept_accuracy: bool = False
    calibrate: bool = False  # fold a temperature into the net that is taken

    @property
    def of_the_net(self) -> tuple[object, ...]:
        """What restricts the search."""
        return tuple(item for item in (self.activation, self.pooling, self.padding, self.mean) if item is not None)

    def allows(self, variant: Variant) -> bool:
        """Whether a variant is as said."""
        poolings = (None, variant.config.pooling, variant.pooling_kind)
        return self.pooling in poolings and self.padding in (None, variant.padding_kind)


def chains_in(file: TensorFile, data: ImageData, recipe: Recipe | None) -> Chains:
    """The tables of a file that are chains of layers from these images to these classes; of the recipe's, if given.

    Raises WeightsError for a file without any, which says why.
    """
    channels, classes = data.train_pixels.shape[1], len(data.labels)
    fitting = None
    if recipe is not None:
        fitting = load_foreign_weights(file, build_model(fitted_to(recipe, data).model), recipe.name)
    found: dict[str, Sequence[Layer]] = {}
    reasons: list[str] = []
    for key, table in file.tables.items():
        try:
            layers = chain_of(table, channels, ordered=file.ordered)
        except NoChainError as error:
            reasons.append(str(error))
            continue
        if layers[-1].outputs != classes:
            reasons.append(f"it gives {layers[-1].outputs} classes where {data.name} has {classes}")
        elif fitting is None or _shapes(layers) == _shapes(found.get(fitting, layers)):
            check_values({name: item for layer in layers for name, item in layer.tensors().items()}, file.path)
            found[key] = layers
    if not found:
        raise WeightsError(
            f"{file.path}: {reasons[0]}; only convolutions, pooling and dense layers in a row are found by their shapes"
        )
    return found


def candidates(
    chains: Chains, data: ImageData, recipe: Recipe | None, said: Said, *, rare: bool = False
) -> list[Variant]:
    """All nets that a file's layers fit, as far as the user allows them; with `rare` the unusual ones alone."""
    channels, side, _ = data.train_pixels.shape[1:]
    activations = (said.activation,) if said.activation else (*USUAL, *RARE) if rare else USUAL
    found: list[Variant] = []
    for key, layers in chains.items():
        nets = structures(layers, channels, side)
        if recipe is not None:
            own = as_imported(fitted_to(recipe, data).model)
            nets += [net for net in [(own, recipe.padding)] if _bare(net) not in map(_bare, nets)]
        open_ones = variants(nets, normalisations(data, recipe, said), activations, rare=rare)
        found += [replace(variant, key=key) for variant in open_ones]
    return [variant for variant in found if said.allows(variant)]


def of_recipe(recipe: Recipe, data: ImageData) -> Callable[[Variant], bool]:
    """What tells a recipe's own net, padded as the recipe pads, from others."""
    fitted = fitted_to(recipe, data)
    own = as_imported(fitted.model)
    return lambda variant: (variant.config, variant.padding, variant.channels_last) == (own, fitted.padding, False)


def normalisations(data: ImageData, recipe: Recipe | None, said: Said) -> list[Normalisation]:
    """The one that was said, or the data's own, the recipe's, and those that others use."""
    channels = data.train_pixels.shape[1]
    if said.mean is not None and said.std is not None:
        return [_checked(said.mean, said.std, data)]
    own = [(data.mean, data.std), *(((m,) * channels, (s,) * channels) for m, s in TUTORIALS)]
    if recipe is not None and recipe.normalisation is not None:
        mean, std = recipe.normalisation
        own.append(((mean,) * channels, (std,) * channels))
    others = [((m,) * channels, (s,) * channels) for m, s in OF_DATA.values()]
    others += [IMAGENET] if channels == 3 else []
    found = [Normalisation(mean, std) for mean, std in dict.fromkeys(own) if all(std)]
    return [*found, *(Normalisation(m, s, is_of_other_data=True) for m, s in others if (m, s) not in own)]


def likeliest(found: Sequence[Variant], recipe: Recipe | None, said: Said) -> Variant:
    """The variant to take where no accuracy tells: the recipe's activation and pooling, padding inside.

    Public nets pad in their convolutions. Raises WeightsError where neither a recipe nor options say enough.
    """
    own = as_imported(recipe.model) if recipe else None
    activation = said.activation or (own and own.activation)
    pooling = said.pooling or (own and own.pooling)
    fitting = [
        item for item in found
        if item.config.activation == activation
        and (pooling in (item.config.pooling, item.pooling_kind) or "pooling" not in item.parts)
    ]  # fmt: skip
    if not fitting:
        raise WeightsError("nothing says which net it is: give --activation and --pooling, or --model")
    return min(
        fitting, key=lambda item: (item.config.pool_first, bool(item.config.resized), item.padding_kind == "before")
    )


def _checked(mean: tuple[float, ...], std: tuple[float, ...], data: ImageData) -> Normalisation:
    channels, height, width = data.train_pixels.shape[1:]
    if len(mean) != channels or len(std) != channels:
        raise WeightsError(
            f"the images have {channels} channel(s), and mean and std {len(mean)} and {len(std)} numbers; "
            f"give --mean and --std once a channel"
        )
    try:
        ModelSpec(data.labels, height, width, mean, std)
    except ValueError as error:
        raise WeightsError(f"{error}; give --mean and --std as the weights were trained with them") from None
    return Normalisation(mean, std)


def _bare(net: tuple[object, int]) -> tuple[object, int]:
    """A structure without what it leaves open."""
    config, padding = net
    return replace(config, activation="relu", pooling="max"), padding  # type: ignore[type-var]


def _shapes(layers: Sequence[Layer]) -> list[tuple[int, ...]]:
    return [tuple(layer.weight[1].shape) for layer in layers]
