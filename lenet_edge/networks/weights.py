"""Weights from elsewhere: a state_dict whose tensors match a known model in order and shape, whatever its keys are."""

import io
import pickle
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor, nn

from lenet_edge.networks.models import PartialConvolution
from lenet_edge_runtime.errors import WeightsError
from lenet_edge_runtime.reading import read_bytes

WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which trainers keep the state_dict
SUFFIXES = (".pth", ".pt", ".safetensors")


def load_foreign_weights(path: Path, net: nn.Module, recipe: str) -> None:
    """Copy the tensors of the file at `path` into `net`, matched by order and shape.

    A safetensors file keeps no order, so there the tensors are matched by layer: the one layer whose tensors have
    these names' endings and shapes. Raises WeightsError that names the first tensor that does not fit, or for weights
    where a partially connected net has none.
    """
    expected = {key: value for key, value in net.state_dict().items() if not _is_counter(key)}
    found = {key: value for key, value in _read(path).items() if not _is_counter(key)}
    if path.suffix == ".safetensors":
        found = _in_order_of(expected, found, path)
    matched = dict(zip(expected, _checked(expected, found, path, recipe), strict=True))
    net.load_state_dict(matched, strict=False)
    for module in net.modules():
        if isinstance(module, PartialConvolution) and (module.weight * (1 - module.mask)).any():
            raise WeightsError(
                f"{path} does not fit {recipe}: it has weights at connections that {recipe} leaves out; "
                f"choose a --model that is fully connected"
            )


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix not in SUFFIXES:
        raise WeightsError(f"{path} is not a weights file: expected one of {', '.join(SUFFIXES)}")
    try:
        content: Any = (
            load(read_bytes(path))
            if path.suffix == ".safetensors"
            else torch.load(io.BytesIO(read_bytes(path)), map_location="cpu", weights_only=True)
        )
    except FileNotFoundError:
        raise WeightsError(f"{path} does not exist: give the path of a state_dict") from None
    except pickle.UnpicklingError:
        raise WeightsError(
            f"{path} holds more than tensors (a pickle that wants to run code) and was not loaded; "
            f"save the weights alone: torch.save(model.state_dict(), 'weights.pth')"
        ) from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}): give the path of a state_dict") from None
    except Exception as error:  # of damaged bytes torch's reader raises whatever the part that met them raises
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise WeightsError(f"{path} is damaged or no weights file ({reason})") from None
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise WeightsError(f"{path} is not a state_dict (names and tensors); save model.state_dict()")
    return dict(content)


def _checked(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path, recipe: str) -> list[Tensor]:
    """The found tensors in float32, each of the shape expected at its place; no value is read before its shape is."""
    for (ours, target), (theirs, tensor) in zip(expected.items(), found.items(), strict=False):
        if target.shape != tensor.shape:
            raise WeightsError(
                f"{path} does not fit {recipe}: {theirs!r} has shape {list(tensor.shape)} where {ours!r} has "
                f"{list(target.shape)}; choose another --model"
            )
    if len(expected) != len(found):
        missing, extra = list(expected)[len(found) :], list(found)[len(expected) :]
        what = f"it lacks {missing[0]!r}" if missing else f"{extra[0]!r} is one too many"
        raise WeightsError(
            f"{path} does not fit {recipe}: it has {len(found)} tensors where {len(expected)} are expected ({what}); "
            f"choose another --model"
        )
    for key, tensor in found.items():
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise WeightsError(f"{path}: {key!r} is not made of finite floating-point numbers; save the weights again")
    return [tensor.float().clone() for tensor in found.values()]


def _in_order_of(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Reorder by layer, where each expected layer has exactly one partner; else leave the order to `_checked`."""
    partners: dict[str, Tensor] = {}
    layers, expected_layers = _by_layer(found), _by_layer(expected)
    kinds = Counter(_kind(layer) for layer in layers.values())
    for layer in expected_layers.values():
        if kinds[_kind(layer)] > 1:
            raise WeightsError(
                f"{path} has {kinds[_kind(layer)]} layers of one shape and safetensors keeps no order; "
                f"save it as .pth with torch.save(model.state_dict(), 'weights.pth')"
            )
    for layer in expected_layers.values():
        for name, other in layers.items():
            if _kind(other) == _kind(layer):
                partners |= {f"{name}.{leaf}": other[leaf] for leaf in layer}
    rest = {key: value for key, value in found.items() if key not in partners}
    return {**partners, **rest}


def _by_layer(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    layers: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, leaf = key.rpartition(".")
        layers.setdefault(name, {})[leaf] = tensor
    return layers


def _kind(layer: Mapping[str, Tensor]) -> frozenset[tuple[str, tuple[int, ...]]]:
    return frozenset((leaf, tuple(tensor.shape)) for leaf, tensor in layer.items())


def _is_counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")  # BatchNorm's count of batches: of no use once trained
