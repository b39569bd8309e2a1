"""A table of tensors as a chain of layers: convolutions, then dense layers, each with its bias and BatchNorm.

The names in the table are somebody else's; what counts is shape and order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from torch import Tensor

from lenet_edge.networks.tensor_files import Tensors

# The four tensors of a BatchNorm, as PyTorch and as Keras call them.
_NORM = (("weight", "bias", "running_mean", "running_var"), ("gamma", "beta", "moving_mean", "moving_variance"))
_MAX_LAYERS = 40
_MAX_UNORDERED = 12  # layers of which all orders are tried


class NoChainError(ValueError):
    """A table whose tensors are no chain of convolutions and dense layers; the text says why."""


@dataclass(frozen=True)
class Layer:
    """A convolution, weight [out, in, k, k], or a dense layer, [out, in]; each tensor with its name in the file."""

    weight: tuple[str, Tensor]
    bias: tuple[str, Tensor] | None = None
    norm: tuple[tuple[str, Tensor], ...] = ()  # BatchNorm's weight, bias, mean and variance

    @property
    def is_convolution(self) -> bool:
        return self.weight[1].dim() == 4

    @property
    def outputs(self) -> int:
        return self.weight[1].shape[0]

    @property
    def inputs(self) -> int:
        return self.weight[1].shape[1]

    def tensors(self) -> Tensors:
        """By their names in the file, in the order in which our nets have them."""
        return dict([self.weight, *([self.bias] if self.bias else []), *self.norm])


def chain_of(table: Mapping[str, Tensor], channels: int, *, ordered: bool = True) -> list[Layer]:
    """The layers from the image, of so many channels, to the logits. Raises NoChainError where they are no chain.

    Tensors as Keras has them, [k, k, in, out] and [in, out], are turned around. A file that keeps no order
    (`ordered` False) gives a chain where only one order of its layers is one.
    """
    tensors = {key: value for key, value in table.items() if not is_counter(key, value)}
    try:
        return _chain_of(_by_prefix(tensors), channels, ordered)
    except NoChainError as error:
        if not ordered:
            raise
        try:  # where names group no layers, the file's order does
            return _chain_of(dict(_by_order(tensors)), channels, ordered)
        except NoChainError:
            raise error from None


def _chain_of(groups: Mapping[str, Tensors], channels: int, ordered: bool) -> list[Layer]:
    layers = _with_norms(*_grouped(groups))
    if not layers:
        raise NoChainError("it holds no weights of convolutions or dense layers")
    if len(layers) > _MAX_LAYERS:
        raise NoChainError(f"it has {len(layers)} layers, more than {_MAX_LAYERS}")
    for turned in (layers, [_turned(layer) for layer in layers]):
        if chain := _in_a_chain(turned, channels, ordered):
            return chain
    shapes = ", ".join(str(list(layer.weight[1].shape)) for layer in layers[:8])
    raise NoChainError(f"its layers {shapes} do not follow each other from {channels} channel(s) to the classes")


def is_counter(key: str, tensor: Tensor) -> bool:
    """Whether a tensor counts something (batches of BatchNorm, updates of an average): of no use once trained."""
    return key.endswith("num_batches_tracked") or tensor.dim() == 0


def _grouped(groups: Mapping[str, Tensors]) -> tuple[list[Layer], list[tuple[tuple[str, Tensor], ...]]]:
    """Layers without their norms, and norms, each in the file's order."""
    layers: list[Layer] = []
    norms: list[tuple[tuple[str, Tensor], ...]] = []
    for group in groups.values():
        wide = [(key, item) for key, item in group.items() if item.dim() > 1]
        vectors = [(key, item) for key, item in group.items() if item.dim() == 1]
        if wide:
            if wide[0][1].dim() not in (2, 4):
                raise NoChainError(f"{wide[0][0]!r} of shape {list(wide[0][1].shape)} is no convolution or dense layer")
            layers.append(Layer(wide[0], vectors.pop(0) if len(vectors) % 4 == 1 else None))
        while len(vectors) >= 4:
            norms.append(_norm(vectors[:4]))
            del vectors[:4]
        if vectors:
            raise NoChainError(f"{vectors[0][0]!r} belongs to no layer")
    return layers, norms


def _by_prefix(tensors: Tensors) -> Mapping[str, Tensors]:
    """Tensors whose names are alike up to the last dot; by order where that puts two layers together."""
    groups: dict[str, Tensors] = {}
    for key, tensor in tensors.items():
        groups.setdefault(key.rpartition(".")[0], {})[key] = tensor
    if any(sum(item.dim() > 1 for item in group.values()) > 1 for group in groups.values()):
        return dict(_by_order(tensors))
    return groups


def _by_order(tensors: Tensors) -> Iterator[tuple[str, Tensors]]:
    group: Tensors = {}
    for key, tensor in tensors.items():
        if tensor.dim() > 1 and group:
            yield next(iter(group)), group
            group = {}
        group[key] = tensor
    yield next(iter(group), ""), group


def _norm(vectors: Sequence[tuple[str, Tensor]]) -> tuple[tuple[str, Tensor], ...]:
    by_leaf = {key.rpartition(".")[2]: (key, item) for key, item in vectors}
    for names in _NORM:
        if set(names) == set(by_leaf):
            return tuple(by_leaf[name] for name in names)
    return tuple(vectors)


def _with_norms(layers: list[Layer], norms: list[tuple[tuple[str, Tensor], ...]]) -> list[Layer]:
    """Each norm given to the first layer of its width that has none: in the file they may stand behind all layers."""
    for norm in norms:
        width = norm[0][1].shape
        fitting = [i for i, layer in enumerate(layers) if not layer.norm and width == (layer.outputs,)]
        fitting = fitting or [i for i, layer in enumerate(layers) if width == (layer.weight[1].shape[-1],)]
        if not fitting:
            raise NoChainError(f"{norm[0][0]!r} is a BatchNorm of {list(width)}, and no layer has that width")
        layers[fitting[0]] = replace(layers[fitting[0]], norm=norm)
    return layers


def _turned(layer: Layer) -> Layer:
    """A layer of Keras as PyTorch has it."""
    key, weight = layer.weight
    return replace(layer, weight=(key, weight.permute(3, 2, 0, 1) if weight.dim() == 4 else weight.t()))


def _in_a_chain(layers: list[Layer], channels: int, ordered: bool) -> list[Layer] | None:
    convolutions = [layer for layer in layers if layer.is_convolution]
    dense = [layer for layer in layers if not layer.is_convolution]
    if not dense or any(item.weight[1].shape[2] != item.weight[1].shape[3] for item in convolutions):
        return None
    if ordered and _is_chain([*convolutions, *dense], channels):
        return [*convolutions, *dense]
    if len(layers) > _MAX_UNORDERED:
        return None
    chains = ([*some, *others] for some in _chains(convolutions, channels) for others in _chains(dense, None))
    found = list(islice((chain for chain in chains if _is_chain(chain, channels)), 2))
    if len(found) > 1:
        raise NoChainError("several of its layers have one shape, and their order is not to be seen from the file")
    return found[0] if found else None


def _chains(layers: list[Layer], inputs: int | None) -> Iterator[list[Layer]]:
    """All orders in which each layer takes what the one before it gives; a first one of any width where None."""
    if not layers:
        yield []
    for index, layer in enumerate(layers):
        if inputs in (None, layer.inputs):
            for rest in _chains([*layers[:index], *layers[index + 1 :]], layer.outputs):
                yield [layer, *rest]


def _is_chain(layers: list[Layer], channels: int) -> bool:
    width = channels
    for before, layer in zip([None, *layers], layers, strict=False):
        flattens = not layer.is_convolution and (before is None or before.is_convolution)
        if layer.inputs % width if flattens else layer.inputs != width:
            return False
        if any(item is not None and item[1].shape != (layer.outputs,) for item in (layer.bias, *layer.norm)):
            return False
        width = layer.outputs
    return True
