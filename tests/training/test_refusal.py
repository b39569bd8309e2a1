"""What a network refuses, against a network whose answers are known."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.run import Run
from lenet_edge.training.refusal import refused_shares


class Brightness(nn.Module):
    """Gives each class the mean of the normalised pixels."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))[:, None].expand(-1, 10)


@pytest.mark.parametrize("threshold", [-100.0, 100.0])
def test_threshold_decides(threshold: float, digits_run: Run, digits: ImageData) -> None:
    spec = replace(digits_run.read().spec, threshold=threshold)
    found = refused_shares(Brightness(), spec, digits, torch.device("cpu"))
    assert found == {"test_refused": float(threshold > 0), "strangers_refused": float(threshold > 0)}


def test_nothing_is_drawn_from_the_global_generator(digits_run: Run, digits: ImageData) -> None:
    spec = replace(digits_run.read().spec, threshold=2.0)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(refused_shares(Brightness(), spec, digits, torch.device("cpu")))
    assert found[0] == found[1]
    assert 0 < found[0]["strangers_refused"] < 1
