"""What training makes small: cross-entropy on the images, and beside it how sure the network is of strangers."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lenet_edge.networks.recipes import Recipe

STRANGER = -100  # in place of a label, for an image of none of the classes: what torch's cross-entropy ignores
STRANGERS_WEIGHT = 0.5  # of their loss beside that of the images (Hendrycks et al. 2019, arXiv:1812.04606)


def class_weights(recipe: Recipe, labels: np.ndarray, device: torch.device) -> Tensor | None:
    """Weights of the loss, float32 [classes]: n / (classes * images of the class), as scikit-learn's "balanced"."""
    if recipe.class_weights == "none":
        return None
    counts = np.bincount(labels, minlength=recipe.model.classes)
    return torch.tensor(len(labels) / (len(counts) * counts), dtype=torch.float32, device=device)


def classification_loss(
    logits: Tensor, labels: Tensor, whole: Tensor, weights: Tensor | None, smoothing: float
) -> Tensor:
    """Cross-entropy of a process's share of a batch, logits [n, classes] and labels [n], strangers left out.

    The shares' losses add up to the mean over the labels of the `whole` batch.
    """
    total = len(whole) if weights is None else weights[whole].sum()
    return F.cross_entropy(logits, labels, weights, label_smoothing=smoothing, reduction="sum") / total


def strangers_loss(logits: Tensor, labels: Tensor, count: int) -> Tensor:
    """Cross-entropy between the share's answers to strangers and the flat one, over the `count` of the whole batch."""
    surprise = -F.log_softmax(logits, dim=1).mean(dim=1)
    return STRANGERS_WEIGHT * (surprise * (labels == STRANGER)).sum() / count
