"""`--net --weights`: whatever file torch's users keep a network's tensors in, they come in under its own names."""

import argparse
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lenet_edge.artefacts.own_network import load_weights
from lenet_edge_exporters.probabilities import WithoutSoftmax
from lenet_edge_runtime.errors import WeightsError

State = dict[str, Tensor]


def network() -> nn.Sequential:
    return nn.Sequential(OrderedDict(first=nn.Conv2d(1, 2, 3), norm=nn.BatchNorm2d(2), output=nn.Linear(8, 3)))


class Holder(nn.Module):
    """As `Network` holds a program's network: as it is, or without its softmax."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({"own": net})


def saved(content: Any) -> Callable[[Path, State], None]:
    return lambda path, state: torch.save(content(state), path)


def prefixed(state: State, prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


def traced(path: Path, state: State) -> None:
    net = network()
    net.load_state_dict(state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(net.eval()), path)


FILES: dict[str, Callable[[Path, State], None]] = {
    "state_dict": saved(lambda state: state),
    "in 'net'": saved(lambda state: {"net": state, "acc": 98.0, "epoch": 3}),
    "in 'model_state_dict', with a Namespace": saved(
        lambda state: {"model_state_dict": state, "args": argparse.Namespace(lr=0.1), "best": np.float64(0.98)}
    ),
    "DataParallel": saved(lambda state: prefixed(state, "module.")),
    "torch.compile": saved(lambda state: {"model": prefixed(state, "_orig_mod.")}),
    "Lightning": saved(
        lambda state: {
            "state_dict": prefixed(state, "model.") | {"loss.weight": torch.ones(3)},
            "optimizer_states": [{"state": {}, "param_groups": []}],
            "pytorch-lightning_version": "2.4.0",
        }
    ),
    "averaged": saved(lambda state: prefixed(state, "module.") | {"n_averaged": torch.tensor(5)}),
    "half": saved(lambda state: {key: v.half() if v.is_floating_point() else v for key, v in state.items()}),
    "without counters": saved(lambda state: {key: value for key, value in state.items() if "tracked" not in key}),
    "safetensors": lambda path, state: save_file(state, path),
    "npz": lambda path, state: np.savez(path, **{key: value.numpy() for key, value in state.items()}),
    "TorchScript": traced,
    "before torch 1.6": lambda path, state: torch.save(state, path, _use_new_zipfile_serialization=False),
}


@pytest.mark.parametrize("holder", [lambda net: net, WithoutSoftmax], ids=["as it is", "without its softmax"])
@pytest.mark.parametrize("name", FILES)
def test_tensors_come_in_under_the_networks_own_names(
    name: str, holder: Callable[[nn.Module], nn.Module], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    theirs, ours = network(), network()
    path = tmp_path / ("weights.npz" if name == "npz" else "weights.bin")
    FILES[name](path, theirs.state_dict())
    load_weights(path, Holder(holder(ours)))
    expected, tolerance = theirs.state_dict(), 1e-3 if name == "half" else 0
    for key, value in ours.state_dict().items():
        torch.testing.assert_close(value, expected[key], rtol=tolerance, atol=tolerance)


def test_first_of_several_tables_is_taken_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    states = {key: network().state_dict() for key in ("model", "ema")}
    torch.save(states, tmp_path / "weights.pth")
    ours = network()
    load_weights(tmp_path / "weights.pth", Holder(ours))
    assert torch.equal(ours.state_dict()["first.weight"], states["model"]["first.weight"])
    assert "('model', 'ema') 'model' is taken" in capsys.readouterr().err


WRONG: dict[str, tuple[Callable[[State], Any], str]] = {
    "another net's": (lambda state: {"fc1.weight": torch.zeros(2, 2)}, "'fc1.weight' has no place in it"),
    "one too many": (lambda state: state | {"fc.weight": torch.zeros(2)}, "'fc.weight' has no place in it"),
    "one too few": (lambda state: {k: v for k, v in state.items() if k != "output.bias"}, "it lacks 'output.bias'"),
    "wider": (
        lambda state: state | {"output.bias": torch.zeros(4)},
        r"'output.bias' is \[4\], and the network's \[3\]",
    ),
    "not finite": (lambda state: state | {"output.bias": torch.full((3,), torch.nan)}, "not made of finite"),
    "a module": (lambda state: {"model": argparse.Namespace(a=1)}, "is not a state_dict"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_named(name: str, tmp_path: Path) -> None:
    change, message = WRONG[name]
    net = network()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    torch.save(change(network().state_dict()), tmp_path / "theirs.pth")
    with pytest.raises(WeightsError, match=message):
        load_weights(tmp_path / "theirs.pth", Holder(net))
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
