"""Weights from elsewhere: matched by order and shape whatever they are called, or refused by name."""

import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lenet_edge.networks.layer_tensors import chain_of
from lenet_edge.networks.models import Network, build_model
from lenet_edge.networks.recipes import RECIPES
from lenet_edge.networks.tensor_files import read_tensors
from lenet_edge.networks.weights import load_foreign_weights
from lenet_edge_runtime.errors import WeightsError


def new_net(recipe: str = "lenet5-classic", seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return build_model(RECIPES[recipe].model)


def renamed(net: nn.Module) -> dict[str, torch.Tensor]:
    """The state_dict under the names that somebody else's class would give."""
    layers = {key.rpartition(".")[0]: None for key in net.state_dict()}
    names = {layer: f"features.block{number}" for number, layer in enumerate(layers)}
    return OrderedDict(
        (f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}", value) for key, value in net.state_dict().items()
    )


def saved(tensors: object, path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    else:
        torch.save(tensors, path)
    return path


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_weights_under_other_names(recipe: str, suffix: str, tmp_path: Path) -> None:
    theirs, ours = new_net(recipe, seed=1), new_net(recipe, seed=2)
    load_foreign_weights(read_tensors(saved(renamed(theirs), tmp_path / f"weights{suffix}")), ours, recipe)
    for expected, found in zip(theirs.parameters(), ours.parameters(), strict=True):
        assert torch.equal(expected, found)


NAMINGS: dict[str, Callable[[int, str], str]] = {
    "numbers, and two kinds of prefix": lambda number, key: f"my.{number}.{key[-6:]}",
    "a prefix for each tensor": lambda number, key: f"p{number}.value",
    "one prefix": lambda number, key: f"p.{number}",
    "no dots": lambda number, key: f"tensor{number}",
    "a prefix for each kind": lambda number, key: f"{key.rpartition('.')[2]}.{number}",
}


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_file_in_order_may_call_its_tensors_anything(recipe: str, naming: str, tmp_path: Path) -> None:
    theirs, ours = new_net(recipe, seed=1), new_net(recipe, seed=2)
    kept = {key: value for key, value in theirs.state_dict().items() if "num_batches" not in key}
    named = {NAMINGS[naming](number, key): value for number, (key, value) in enumerate(kept.items())}
    file = read_tensors(saved(named, tmp_path / "weights.pth"))
    load_foreign_weights(file, ours, recipe)
    for expected, found in zip(theirs.parameters(), ours.parameters(), strict=True):
        assert torch.equal(expected, found)
    channels = next(iter(kept.values())).shape[1]
    chained = [item for layer in chain_of(next(iter(file.tables.values())), channels) for item in layer.tensors()]
    assert chained == list(named)


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
def test_checkpoints_that_wrap_a_state_dict(wrapper: str, tmp_path: Path) -> None:
    theirs, ours = new_net(seed=1), new_net(seed=2)
    path = saved({"epoch": 3, wrapper: theirs.state_dict()}, tmp_path / "checkpoint.pth")
    load_foreign_weights(read_tensors(path), ours, "lenet5-classic")
    assert torch.equal(ours.layers.output.weight, theirs.layers.output.weight)


def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    theirs, ours = new_net(seed=1), new_net(seed=2)
    load_foreign_weights(read_tensors(saved(renamed(theirs.half()), tmp_path / "weights.pth")), ours, "lenet5-classic")
    assert ours.layers.output.weight.dtype == torch.float32
    assert torch.equal(ours.layers.output.weight, theirs.layers.output.weight.float())


def test_weights_of_a_full_net_are_not_those_of_a_partial_one(tmp_path: Path) -> None:
    path = saved(new_net("lenet5-classic").state_dict(), tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match="weights at connections that lenet5-partial leaves out"):
        load_foreign_weights(read_tensors(path), new_net("lenet5-partial"), "lenet5-partial")


def changed(**changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    tensors = {key.replace(".", "_"): value for key, value in new_net().state_dict().items()}
    for key, value in changes.items():
        if value is None:
            del tensors[key]
        else:
            tensors[key] = value
    return tensors


class RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/lenet-edge-was-here",)


NOT_FITTING = {
    "another shape": (changed(layers_f6_0_weight=torch.zeros(84, 121)), r"'layers_f6_0_weight' has shape \[84, 121\]"),
    "one missing": (changed(layers_output_bias=None), r"it has 9 tensors where 10 are expected \(it lacks 'layers.out"),
    "one too many": (changed(extra=torch.zeros(3)), r"'extra' is one too many"),
    "BatchNorm where none is": (renamed(build_model(RECIPES["lenet5"].model)), "does not fit lenet5-classic"),
    "NaN": (changed(layers_output_bias=torch.full((10,), float("nan"))), "finite floating-point"),
    "integers": (changed(layers_output_bias=torch.zeros(10, dtype=torch.int64)), "finite floating-point"),
    "stride 0": (changed(layers_c5_0_weight=torch.zeros(1).expand(130_000, 130_000)), r"\[130000, 130000\]"),
    "a list": ([1, 2, 3], "not a state_dict"),
    "code": ({"weight": RunsCode()}, "wants to run code"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NOT_FITTING)
def test_what_does_not_fit_is_refused(kind: str, tmp_path: Path) -> None:
    content, complaint = NOT_FITTING[kind]
    net = new_net(seed=3)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(WeightsError, match=complaint):
        load_foreign_weights(read_tensors(saved(content, tmp_path / "weights.pth")), net, "lenet5-classic")
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert not Path("/tmp/lenet-edge-was-here").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".h5"])
def test_files_that_are_no_weights(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    with pytest.raises(WeightsError, match=r"does not exist|not a weights file"):
        load_foreign_weights(read_tensors(path), new_net(), "lenet5-classic")
    path.write_bytes(b"neither zip nor safetensors")
    with pytest.raises(WeightsError, match=r"weights\."):
        load_foreign_weights(read_tensors(path), new_net(), "lenet5-classic")


def test_tensors_that_have_numbers_for_names_are_refused(tmp_path: Path) -> None:
    tensors = dict(enumerate(new_net().state_dict().values()))
    with pytest.raises(WeightsError, match=r"is not a state_dict \(names and tensors\); save model\.state_dict"):
        load_foreign_weights(read_tensors(saved(tensors, tmp_path / "numbered.pth")), new_net(), "lenet5-classic")
