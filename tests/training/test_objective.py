"""The loss: torch's own over the images, scipy's divergence over the strangers, and its shares add up to the whole."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import log_softmax

from lenet_edge.training.objective import STRANGER, STRANGERS_WEIGHT, classification_loss, strangers_loss

WEIGHTS = torch.tensor([0.5, 1.0, 3.0])


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Twelve answers, of which the last four are to strangers."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 1, 2, 2, 0, 0, 1, 0, *[STRANGER] * 4])
    return 3 * torch.randn(12, 3, generator=generator), labels


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_images_cost_what_they_do_without_strangers(weights: torch.Tensor | None, smoothing: float) -> None:
    logits, labels = batch()
    expected = F.cross_entropy(logits[:8], labels[:8], weights, label_smoothing=smoothing)
    torch.testing.assert_close(classification_loss(logits, labels, labels[:8], weights, smoothing), expected)


def test_strangers_cost_what_their_answers_lack_of_being_flat() -> None:
    logits, labels = batch()
    surprise = -log_softmax(logits[8:].numpy(), axis=1).mean(axis=1)
    assert float(strangers_loss(logits, labels, 4)) == pytest.approx(STRANGERS_WEIGHT * surprise.mean(), rel=1e-5)
    flat = strangers_loss(torch.full_like(logits, 7.0), labels, 4)
    assert float(flat) == pytest.approx(STRANGERS_WEIGHT * np.log(3))  # its least


@pytest.mark.parametrize("cut", [3, 8, 10])
def test_shares_add_up(cut: int) -> None:
    logits, labels = batch()
    for loss in (
        lambda z, y: classification_loss(z, y, labels[:8], WEIGHTS, 0.1),
        lambda z, y: strangers_loss(z, y, 4),
    ):
        parts = loss(logits[:cut], labels[:cut]) + loss(logits[cut:], labels[cut:])
        torch.testing.assert_close(parts, loss(logits, labels))
