"""The networks: the counts of the paper, and forward passes written out by hand."""

import itertools
import json
from dataclasses import asdict

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lenet_edge.networks.architectures import ConvNetConfig, Convolution, LeNetConfig
from lenet_edge.networks.models import (
    TABLE_I,
    ConvNet,
    LeNet5,
    PartialConvolution,
    build_model,
    deployed_parameters,
    multiply_accumulates,
)  # fmt: skip
from lenet_edge.networks.pooling import DeferredReLU, MaxPool2x2, fast_evaluation
from lenet_edge.networks.recipes import RECIPES, Recipe, find_recipe
from lenet_edge_runtime import LenetEdgeError, records

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


def test_multiply_accumulates_are_the_textbooks() -> None:
    """28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10."""
    net = LeNet5(LeNetConfig("relu", "max", batch_norm=True))
    assert multiply_accumulates(net) == 117_600 + 240_000 + 48_000 + 10_080 + 840
    assert net.training  # as it was


def test_table_i_has_the_papers_60_connections() -> None:
    """LeCun et al. 1998: six maps see 3, nine see 4, one sees 6; together 1,516 parameters in C3."""
    assert [len(row) for row in TABLE_I] == [3] * 6 + [4] * 9 + [6]
    assert [sum(column in row for row in TABLE_I) for column in range(6)] == [10] * 6
    net = LeNet5(LeNetConfig("tanh", "average", connections="partial"))
    assert deployed_parameters(net) == 61_706 - 36 * 25
    assert multiply_accumulates(net) == 416_520 - 36 * 25 * 100


def test_missing_connections_stay_missing_in_training() -> None:
    torch.manual_seed(0)
    net = LeNet5(LeNetConfig("tanh", "average", connections="partial"))
    optimizer = torch.optim.Adam(net.parameters(), weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(net(torch.randn(8, 1, 32, 32)), torch.arange(8)).backward()
        optimizer.step()
    (c3,) = [module for module in net.modules() if isinstance(module, PartialConvolution)]
    reaches = torch.zeros(16, 6, dtype=torch.bool)
    for column in range(6):  # which maps of C3 change with this map of S2
        maps = torch.zeros(2, 6, 5, 5)
        maps[1, column] = torch.randn(5, 5)
        still, moved = c3(maps)
        reaches[:, column] = (still != moved).flatten()
    assert [tuple(row.nonzero().flatten().tolist()) for row in reaches] == list(TABLE_I)


def test_convolutional_net_is_what_its_config_says() -> None:
    torch.manual_seed(0)
    config = ConvNetConfig((Convolution(4, pool=2), Convolution(8), Convolution(5, pool=3, stride=2)), dense=(7,))
    net = ConvNet(config).eval()
    w = list(net.parameters())
    x = torch.randn(3, 1, 30, 30)
    hidden = F.max_pool2d(F.conv2d(x, w[0], w[1]).relu(), 2)  # 28 x 28 to 14 x 14
    hidden = F.conv2d(hidden, w[2], w[3], padding=1).relu()
    hidden = F.max_pool2d(F.conv2d(hidden, w[4], w[5], padding=1).relu(), 3, 2).flatten(1)  # to 6 x 6
    hidden = (hidden @ w[6].T + w[7]).relu()
    torch.testing.assert_close(net(x), hidden @ w[8].T + w[9])


def test_too_much_pooling_is_refused() -> None:
    pooled = ConvNetConfig((Convolution(1, pool=4, stride=4),) * 3, dense=())
    with pytest.raises(ValueError, match="too small for this network's pooling"):
        build_model(pooled)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_and_its_record_are_one(name: str) -> None:
    recipe = RECIPES[name]
    assert records.from_fields(Recipe, json.loads(json.dumps(asdict(recipe)))) == recipe
    net = build_model(recipe.model).eval()
    side = 28 + 2 * recipe.padding
    assert net(torch.zeros(2, 1, side, side)).shape == (2, 10)


def test_records_without_an_architecture_are_of_lenet5() -> None:
    fields = {"activation": "relu", "pooling": "max", "batch_norm": True, "dropout": 0.0}
    assert records.from_fields(LeNetConfig, fields) == LeNetConfig("relu", "max", batch_norm=True)


def test_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(LenetEdgeError, match=", ".join(RECIPES)):
        find_recipe("lenet4")


@pytest.mark.parametrize("rectified", [False, True])
def test_fast_pooling_equals_torchs_bit_for_bit(rectified: bool) -> None:
    """Values and gradients, with many ties, with a ReLU before it or without one."""
    torch.manual_seed(0)
    images = torch.randint(-2, 3, (16, 3, 8, 12)).float()
    gradient = torch.randn(16, 3, 4, 6)
    ours = nn.Sequential(DeferredReLU(), MaxPool2x2(rectifies=True)) if rectified else nn.Sequential(MaxPool2x2())
    theirs = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)) if rectified else nn.Sequential(nn.MaxPool2d(2))
    for mode in (True, False):
        results = []
        for pool in (ours.train(mode), theirs):
            leaf = images.clone().requires_grad_()
            pooled = pool(leaf)
            pooled.backward(gradient)
            results.append((pooled.detach(), leaf.grad))
        assert torch.equal(results[0][0], results[1][0])
        assert torch.equal(results[0][1], results[1][1])


def test_fast_evaluation_gives_the_same_bits_and_ends() -> None:
    net = LeNet5(LeNetConfig("relu", "max", batch_norm=True)).eval()
    images = torch.randn(7, 1, 32, 32)
    with torch.inference_mode():
        expected = net(images)
        with fast_evaluation(net):
            assert torch.equal(net(images), expected)
            assert net.layers.s2.evaluates_fast
    assert not net.layers.s2.evaluates_fast
