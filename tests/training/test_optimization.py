"""Our optimizer and our average against torch's own classes, bit for bit."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lenet_edge.networks.models import build_model
from lenet_edge.networks.recipes import RECIPES, Recipe
from lenet_edge.training.averaging import WeightAverage
from lenet_edge.training.optimization import ITERATIONS, ORTHOGONAL, QUINTIC, Optimizer, orthogonalised


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


@pytest.mark.parametrize("shape", [(6, 1, 5, 5), (16, 6, 5, 5), (84, 120), (120, 84), (5, 5), (1, 7)])
def test_an_orthogonalised_step_keeps_its_singular_vectors(shape: tuple[int, ...]) -> None:
    """Against numpy's decomposition: each singular value, as a share of the matrix's norm, went through the quintic."""
    step = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    left, values, right = np.linalg.svd(step.flatten(1).double().numpy(), full_matrices=False)
    values /= np.sqrt((values**2).sum())
    for _ in range(ITERATIONS):
        values = np.polyval([QUINTIC[2], 0, QUINTIC[1], 0, QUINTIC[0], 0], values)
    found = orthogonalised(step)
    assert found.shape == step.shape
    np.testing.assert_allclose(found.flatten(1).numpy(), left * values @ right, atol=1e-4)
    assert torch.equal(orthogonalised(4 * step), found)  # a power of two changes no digit
    assert not orthogonalised(torch.zeros(shape)).any()


def test_a_step_of_muon_moves_hidden_weights_alike_in_all_directions() -> None:
    """Momentum and decay written out for them; what is left moves as by SGD after the same decay."""
    torch.manual_seed(0)
    recipe = replace(RECIPES["lenet5-best"], weight_decay=0.01)
    net = build_model(recipe.model)
    other = copy.deepcopy(net)
    ours, sgd = Optimizer(net, recipe, fused=True), torchs(other, replace(recipe, weight_decay=0.0), fused=True)
    hidden = ["layers.c1.0.weight", "layers.c3.0.weight", "layers.c5.0.weight", "layers.f6.0.weight"]
    buffers = {name: torch.zeros_like(parameter) for name, parameter in net.named_parameters() if name in hidden}
    for rate in (0.1, 0.05):
        images = torch.randn(8, 1, 32, 32)
        for trained in (net, other):
            learn(trained, images)
        expected = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
        for name, parameter in net.named_parameters():
            if name in hidden:
                assert parameter.grad is not None
                buffers[name] = 0.9 * buffers[name] + parameter.grad
                step = orthogonalised(parameter.grad + 0.9 * buffers[name])
                expected[name] = (1 - 0.01 * rate) * expected[name] - ORTHOGONAL * rate * step
        sgd.param_groups[0]["lr"] = sgd.param_groups[1]["lr"] = rate
        with torch.no_grad():
            other.layers.output.weight.mul_(1 - 0.01 * rate)
        ours.step(rate)
        sgd.step()
        for (name, found), plain in zip(net.named_parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(found, expected[name] if name in hidden else plain, rtol=1e-5, atol=1e-6)
            plain.data.copy_(found)  # the next gradients are the same
        ours.zero_grad()
        sgd.zero_grad()
