"""The nets that a chain of layers may belong to: what shapes leave open, and what they settle.

Shapes say how wide layers are, and with the image's size where the maps can have been pooled and padded. They leave
open the activation, the kind of pooling, whether padding was black pixels or zeros of the normalised image, how the
image was normalised, and in which order the maps were flattened.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, product
from typing import Literal

import torch
from torch import Tensor

from lenet_edge.networks.architectures import ImportedActivation, ImportedConvolution, ImportedDense, ImportedNetConfig
from lenet_edge.networks.imported import sides_of
from lenet_edge.networks.layer_tensors import Layer
from lenet_edge.networks.models import Network, build_model

LENET_SIDE = 32  # of LeCun et al. 1998: others scale 28 x 28 to it, or pad
USUAL: tuple[ImportedActivation, ...] = ("relu", "tanh", "sigmoid")
RARE: tuple[ImportedActivation, ...] = ("leaky-relu", "elu", "gelu", "silu")
_POOLS = ((0, 2), (2, 2))  # width and stride
_RARE_POOLS = (*_POOLS, (3, 2), (2, 1), (3, 3), (4, 4))
_POOLINGS: tuple[tuple[Literal["max", "average"], bool], ...] = (("max", False), ("average", False), ("average", True))
_MOST = 24  # structures of one chain


@dataclass(frozen=True)
class Normalisation:
    """Of pixels scaled to [0, 1], one number a channel: (x - mean) / std; some are another data set's own."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    is_of_other_data: bool = False


@dataclass(frozen=True)
class Variant:
    """A net, and what is done to an image before it: `padding` black pixels around it, then normalisation.

    `channels_last`: the maps were flattened with the channels last, as TensorFlow does. `key`: of the table of tensors
    in the file, where there are several.
    """

    config: ImportedNetConfig
    padding: int
    normalisation: Normalisation
    channels_last: bool = False
    key: str = ""

    @property
    def unlikeliness(self) -> int:
        """How many unusual things it needs: what is chosen by where nothing else tells two variants apart."""
        config = self.config
        unusual = (config.activation in RARE, config.norm_last, config.resized, self.channels_last, self.padding)
        pads_late = self.padding_kind == "none" and any(item.padding for item in config.convolutions)
        return sum(map(bool, unusual)) + pads_late + 2 * config.pool_first + 2 * self.normalisation.is_of_other_data

    @property
    def padding_kind(self) -> str:
        """Where the image is padded: "before" normalisation, "inside" the first convolution, or nowhere ("none")."""
        first = self.config.convolutions[:1]
        return "before" if self.padding else "inside" if first and first[0].padding else "none"

    @property
    def pooling_kind(self) -> str:
        """One of IMPORTED_POOLINGS."""
        config = self.config
        return config.pooling if config.pooling == "max" else f"average-{'first' if config.pool_first else 'last'}"

    @cached_property
    def parts(self) -> dict[str, str]:
        """What was open, in words, by the option that settles it."""
        config = self.config
        norm = self.normalisation
        numbers = " ".join(f"--mean {m:g} --std {s:.6g}" for m, s in zip(norm.mean, norm.std, strict=True))
        found = {"activation": f"--activation {config.activation}"}
        if any(item.pool for item in config.convolutions):
            found["pooling"] = f"--pooling {self.pooling_kind}"
        if config.convolutions or self.padding:
            found["padding"] = f"--padding {self.padding_kind}"
        others = {
            "resized": f"scaled to {config.resized} x {config.resized}" if config.resized else "",
            "norm": "BatchNorm behind the activation" if config.norm_last else "",
            "flatten": "flattened with channels last" if self.channels_last else "",
        }
        return {**found, "normalisation": numbers, **{name: text for name, text in others.items() if text}}

    def __str__(self) -> str:
        return ", ".join(self.parts.values())


def structures(layers: Sequence[Layer], channels: int, side: int) -> list[tuple[ImportedNetConfig, int]]:
    """Nets of these layers for images of side x side pixels, each with its padding before normalisation, in pixels.

    The likeliest first: padding and pooling that change from layer to layer are the less likely. The activation and
    the kind of pooling are left at their defaults.
    """
    found = _fitting(layers, channels, side, _POOLS) or _fitting(layers, channels, side, _RARE_POOLS)
    return sorted(found, key=_unlikely)[:_MOST]


def variants(
    nets: Sequence[tuple[ImportedNetConfig, int]],
    normalisations: Sequence[Normalisation],
    activations: Sequence[ImportedActivation] = USUAL,
    *,
    rare: bool = False,
) -> Iterator[Variant]:
    """Every combination of what shapes leave open; with `rare` the order of BatchNorm and of flattening too."""
    for (config, padding), activation in product(nets, activations):
        for pooling, first in _POOLINGS:
            if pooling == "average" and not any(item.pool for item in config.convolutions):
                continue
            net = replace(config, activation=activation, pooling=pooling, pool_first=first)
            norms = [
                *(item.batch_norm for item in config.convolutions),
                *(item.batch_norm for item in config.dense[:-1]),
            ]
            has_norm = any(norms)
            norm_last = (False, True) if rare and has_norm else (False,)
            last = (False, True) if rare and sides_of(config)[-1] > 1 and config.convolutions else (False,)
            for behind, channels_last, normalisation in product(norm_last, last, normalisations):
                yield Variant(replace(net, norm_last=behind), padding, normalisation, channels_last)


def build(variant: Variant, layers: Sequence[Layer]) -> Network:
    """The net of a variant with the weights of the layers, float32, in evaluation mode.

    The weights are the layers' own where those are float32: they are not copied.
    """
    config = variant.config
    net = build_model(config)
    tensors: list[Tensor] = []
    for index, layer in enumerate(layers):
        weight = layer.weight[1]
        if index == len(config.convolutions) and layer.is_convolution:  # LeNet's C5: a dense layer on all of its maps
            weight = weight.reshape(len(weight), -1)
        if index == len(config.convolutions) and variant.channels_last:
            weight = _channels_first(weight, sides_of(config)[-1])
        tensors += [weight, *([layer.bias[1]] if layer.bias else []), *(item for _, item in layer.norm)]
    counters = {key: torch.tensor(0) for key in net.state_dict() if key.endswith("num_batches_tracked")}
    keys = [key for key in net.state_dict() if key not in counters]
    state = dict(zip(keys, (item.float() for item in tensors), strict=True))
    net.load_state_dict(state | counters, assign=True)
    return net.eval().requires_grad_(False)


def _channels_first(weight: Tensor, side: int) -> Tensor:
    maps = weight.reshape(len(weight), side, side, -1)
    return maps.permute(0, 3, 1, 2).reshape(len(weight), -1)


def _fitting(
    layers: Sequence[Layer], channels: int, side: int, pools: Sequence[tuple[int, int]]
) -> list[tuple[ImportedNetConfig, int]]:
    convolutions = [layer for layer in layers if layer.is_convolution]
    dense = [layer for layer in layers if not layer.is_convolution]
    kernel = convolutions[0].weight[1].shape[2] if convolutions else 0
    found = []
    befores = {0, (kernel - 1) // 2 if kernel % 2 else 0, (LENET_SIDE - side) // 2 if side < LENET_SIDE else 0}
    for resized, before in product((0, LENET_SIDE) if side != LENET_SIDE else (0,), sorted(befores)):
        if resized and before:
            continue
        start = resized or side + 2 * before
        for items, end in _convolutions(convolutions, start, pools):
            flat = convolutions[-1].outputs * end * end if convolutions else channels * end * end
            if flat != dense[0].inputs or (before and items and items[0].padding == before):
                continue
            config = ImportedNetConfig(
                tuple(items),
                tuple(ImportedDense(item.outputs, item.bias is not None, bool(item.norm)) for item in dense),
                "relu", resized=resized, channels=channels, size=side + 2 * before, classes=dense[-1].outputs,
            )  # fmt: skip
            found.append((_with_dense_tail(config), before))
    return found


def _convolutions(
    layers: Sequence[Layer], side: int, pools: Sequence[tuple[int, int]]
) -> Iterator[tuple[list[ImportedConvolution], int]]:
    """Paddings and poolings of these convolutions on maps of side x side, with the side that comes of them."""
    if not layers:
        yield [], side
        return
    layer, *rest = layers
    channels, _, kernel, _ = layer.weight[1].shape
    for padding in (0, (kernel - 1) // 2) if kernel % 2 and kernel > 1 else (0,):
        after = side + 2 * padding - kernel + 1
        for pool, stride in pools:
            if after < max(1, pool):
                continue
            item = ImportedConvolution(
                channels, kernel, padding, pool, stride, layer.bias is not None, bool(layer.norm)
            )
            for others, end in _convolutions(rest, (after - pool) // stride + 1 if pool else after, pools):
                yield [item, *others], end


def _with_dense_tail(config: ImportedNetConfig) -> ImportedNetConfig:
    """A last convolution as wide as its maps (LeNet's C5) as the dense layer that it is."""
    *others, last = config.convolutions or (None,)
    if last is None or last.padding or last.pool or sides_of(config)[-1] != 1:
        return config
    dense = ImportedDense(last.channels, last.bias, last.batch_norm)
    return replace(config, convolutions=tuple(item for item in others if item), dense=(dense, *config.dense))


def _unlikely(net: tuple[ImportedNetConfig, int]) -> tuple[int, int, int]:
    config, before = net
    convolutions = config.convolutions
    pads = [bool(item.padding) for item in convolutions]
    pools = [(item.pool, item.stride) for item in convolutions]
    changes = sum(a != b for a, b in pairwise(pads[1:]))
    changes += 2 * sum(a != b for a, b in pairwise(pools))
    return changes, bool(config.resized) + bool(before), sum(pads)
