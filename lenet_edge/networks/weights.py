"""Weights from elsewhere: a state_dict whose tensors match a known model in order and shape, whatever its keys are."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lenet_edge.networks.layer_tensors import NoChainError, chain_of, is_counter
from lenet_edge.networks.models import PartialConvolution
from lenet_edge.networks.tensor_files import TensorFile, Tensors
from lenet_edge_runtime.errors import WeightsError


def load_foreign_weights(file: TensorFile, net: nn.Module, recipe: str) -> str:
    """Copy the tensors of `file` into `net`, matched by order and shape; return the key of the table they came from.

    Of several tables the first that fits is taken. C5 as a convolution on all of its maps is the dense layer it is,
    and a file that keeps no order is put in the order in which its layers follow each other. Raises WeightsError that
    names the first tensor that does not fit, or for weights where a partially connected net has none.
    """
    expected = {key: value for key, value in net.state_dict().items() if not is_counter(key, value)}
    key, tensors = _first_that_fits(file, expected, recipe)
    net.load_state_dict(dict(zip(expected, tensors, strict=True)), strict=False)
    for module in net.modules():
        if isinstance(module, PartialConvolution) and (module.weight * (1 - module.mask)).any():
            raise WeightsError(
                f"{file.path} does not fit {recipe}: it has weights at connections that {recipe} leaves out; "
                f"choose a --model that is fully connected"
            )
    return key


def check_values(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise WeightsError for a tensor that is not made of finite floating-point numbers. Look at shapes before."""
    for key, tensor in tensors.items():
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise WeightsError(f"{path}: {key!r} repeats few numbers as {list(tensor.shape)}; save the weights again")
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise WeightsError(f"{path}: {key!r} is not made of finite floating-point numbers; save the weights again")


def _first_that_fits(file: TensorFile, expected: Tensors, recipe: str) -> tuple[str, list[Tensor]]:
    reasons: list[WeightsError] = []
    for key, table in file.tables.items():
        try:
            return key, _checked(expected, _in_order_of(expected, table, file), file.path, recipe)
        except WeightsError as error:
            reasons.append(error)
    raise reasons[0]


def _in_order_of(expected: Tensors, table: Tensors, file: TensorFile) -> Tensors:
    """The tensors in the order of our nets, where they are a chain of layers; else as they stand in the file."""
    found = {key: value for key, value in table.items() if not is_counter(key, value)}
    channels = next(iter(expected.values())).shape[1]
    try:
        layers = chain_of(found, channels, ordered=file.ordered)
    except NoChainError as error:
        if file.ordered or "one shape" not in str(error):
            return found
        raise WeightsError(
            f"{file.path}: {error} (safetensors keeps none); save it as .pth with "
            f"torch.save(model.state_dict(), 'weights.pth')"
        ) from None
    chained = {key: item for layer in layers for key, item in layer.tensors().items()}
    shapes = [item.shape for item in expected.values()]
    if len(chained) != len(shapes):
        return chained
    return {
        key: item.reshape(shape) if item.dim() == 4 and len(shape) == 2 and item[0].numel() == shape[1] else item
        for (key, item), shape in zip(chained.items(), shapes, strict=True)
    }


def _checked(expected: Tensors, found: Tensors, path: Path, recipe: str) -> list[Tensor]:
    """The found tensors in float32, each of the shape expected at its place; no value is read before its shape is."""
    for (ours, target), (theirs, tensor) in zip(expected.items(), found.items(), strict=False):
        if target.shape != tensor.shape:
            raise WeightsError(
                f"{path} does not fit {recipe}: {theirs!r} has shape {list(tensor.shape)} where {ours!r} has "
                f"{list(target.shape)}; choose another --model, or leave it out: the shapes tell"
            )
    if len(expected) != len(found):
        missing, extra = list(expected)[len(found) :], list(found)[len(expected) :]
        what = f"it lacks {missing[0]!r}" if missing else f"{extra[0]!r} is one too many"
        raise WeightsError(
            f"{path} does not fit {recipe}: it has {len(found)} tensors where {len(expected)} are expected ({what}); "
            f"choose another --model, or leave it out: the shapes tell"
        )
    check_values(found, path)
    return [tensor.float().clone() for tensor in found.values()]
