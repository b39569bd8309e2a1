"""Our optimizer and our average against torch's own classes, bit for bit."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lenet_edge.networks.models import build_model
from lenet_edge.networks.recipes import RECIPES, Recipe
from lenet_edge.training.averaging import WeightAverage
from lenet_edge.training.optimization import Optimizer


def torchs(net: nn.Module, recipe: Recipe, fused: bool) -> torch.optim.Optimizer:
    weights = [parameter for parameter in net.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in net.parameters() if parameter.ndim <= 1]
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others}]
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=1.0, fused=fused)
    return torch.optim.SGD(groups, lr=1.0, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=fused)


def learn(net: nn.Module, images: torch.Tensor) -> None:
    net(images).square().mean().backward()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    "recipe",
    [
        RECIPES["lenet5"],
        RECIPES["lenet5-classic-reported"],
        replace(RECIPES["lenet5"], momentum=0.0, nesterov=False),
        replace(RECIPES["digits-cnn"], weight_decay=1e-3),
    ],
    ids=["nesterov", "plain", "no-momentum", "adam"],
)
def test_steps_are_those_of_torch(recipe: Recipe, fused: bool) -> None:
    torch.manual_seed(0)
    net = build_model(recipe.model)
    other = copy.deepcopy(net)
    ours, theirs = Optimizer(net, recipe, fused), torchs(other, recipe, fused)
    for number in range(4):
        images = torch.randn(8, 1, recipe.model.size, recipe.model.size)
        for trained in (net, other):
            torch.manual_seed(number)  # of dropout
            learn(trained, images)
        ours.step(0.1 / (1 + number))
        for group in theirs.param_groups:
            group["lr"] = 0.1 / (1 + number)
        theirs.step()
        ours.zero_grad()
        theirs.zero_grad()
    for found, expected in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(found, expected)
        for name, value in ours.state[found].items():
            assert torch.equal(value, theirs.state[expected][name])


def test_parameters_without_gradient_stay() -> None:
    net = nn.ModuleDict({"used": nn.Linear(3, 2), "unused": nn.Linear(3, 2)})
    before = copy.deepcopy(net)
    optimizer = Optimizer(net, RECIPES["lenet5"], fused=True)
    net["used"](torch.ones(1, 3)).sum().backward()
    optimizer.step(0.1)
    assert torch.equal(net["unused"].weight, before["unused"].weight)
    assert not torch.equal(net["used"].weight, before["used"].weight)


class Counting(nn.Module):
    """Puts a new tensor in its buffer's place, and has one weight under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4)
        self.other.weight = self.one.weight
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("seen", torch.zeros(()))

    seen: torch.Tensor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen = self.seen + len(images)
        values: torch.Tensor = self.norm(self.other(self.one(images)))
        return values


def test_average_is_that_of_torch() -> None:
    torch.manual_seed(0)
    net = Counting()
    decays = [0.5, 0.9, 0.99, 0.9]
    ours = WeightAverage(net)
    theirs = AveragedModel(
        net, multi_avg_fn=lambda kept, new, _: get_ema_multi_avg_fn(decays[0])(kept, new, _), use_buffers=True
    )
    while decays:
        learn(net, torch.randn(6, 4))
        with torch.no_grad():
            net.one.weight += torch.randn(4, 4)
        ours.update(decays[0])
        theirs.update_parameters(net)
        decays.pop(0)
    expected = theirs.state_dict()
    assert ours.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in ours.state_dict().items())


def test_average_goes_on_from_its_state() -> None:
    net = nn.Linear(3, 2)
    straight, resumed = WeightAverage(net), WeightAverage(nn.Linear(3, 2))
    straight.update(0.5)
    resumed = WeightAverage(net)
    resumed.load_state_dict(straight.state_dict())
    with torch.no_grad():
        net.weight.fill_(7)
    straight.update(0.5)
    resumed.update(0.5)
    assert torch.equal(straight.module.weight, resumed.module.weight)
    assert not torch.equal(straight.module.weight, net.weight)
