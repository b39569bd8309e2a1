"""LeNet-5 in its variants: the counts of the paper, and a forward pass written out by hand."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lenet_edge.models import LeNet5, MaxPool2x2, deployed_parameters
from lenet_edge.recipes import RECIPES, LeNetConfig, find_recipe
from lenet_edge_runtime import LenetEdgeError

VARIANTS = [
    LeNetConfig(activation, pooling, batch_norm, dropout)
    for activation, pooling, batch_norm, dropout in itertools.product(
        ("relu", "tanh"), ("max", "average"), (False, True), (0.0, 0.5)
    )
]


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_every_variant_has_61706_parameters_as_deployed(config: LeNetConfig) -> None:
    net = LeNet5(config).eval()
    assert deployed_parameters(net) == 61_706
    assert net(torch.zeros(3, 1, 32, 32)).shape == (3, 10)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_forward_pass_is_the_papers(activation: str, pooling: str) -> None:
    torch.manual_seed(0)
    net = LeNet5(LeNetConfig(activation, pooling)).eval()
    w = list(net.parameters())
    act = {"relu": F.relu, "tanh": torch.tanh}[activation]
    pool = {"max": F.max_pool2d, "average": F.avg_pool2d}[pooling]
    x = torch.randn(5, 1, 32, 32)
    hidden = pool(act(F.conv2d(x, w[0], w[1])), 2)
    hidden = pool(act(F.conv2d(hidden, w[2], w[3])), 2).flatten(1)
    hidden = act(hidden @ w[4].T + w[5])
    hidden = act(hidden @ w[6].T + w[7])
    torch.testing.assert_close(net(x), hidden @ w[8].T + w[9])


def test_other_sizes_channels_and_classes() -> None:
    net = LeNet5(LeNetConfig("relu", "max", channels=3, size=28, classes=4)).eval()
    assert net(torch.zeros(2, 3, 28, 28)).shape == (2, 4)
    with pytest.raises(ValueError, match="at least 16 x 16"):
        LeNet5(LeNetConfig("relu", "max", size=15))


def test_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(LenetEdgeError, match=", ".join(RECIPES)):
        find_recipe("lenet4")


def test_fast_pooling_equals_torchs_bit_for_bit() -> None:
    """Values and gradients, with many ties, as ReLU makes them."""
    torch.manual_seed(0)
    images = torch.randint(-2, 3, (16, 3, 8, 12)).float().relu()
    gradient = torch.randn(16, 3, 4, 6)
    results = []
    for pool in (MaxPool2x2(2).train(), nn.MaxPool2d(2)):
        leaf = images.clone().requires_grad_()
        pooled = pool(leaf)
        pooled.backward(gradient)
        results.append((pooled.detach(), leaf.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
