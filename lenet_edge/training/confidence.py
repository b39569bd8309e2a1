"""Probabilities that mean what they say: one temperature, found on the validation images, folded into the last layer.

Guo et al. 2017, "On Calibration of Modern Neural Networks". Dividing the last layer's weights and bias by it divides
the logits: no operator more, the same classes, every format alike. From the folded network's validation answers come,
too, the threshold below which an image shows none of the classes, and the quantiles of conformal sets.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lenet_edge_runtime.answers import log_sum_exp, softmax
from lenet_edge_runtime.spec import ModelSpec

REFUSED = 0.01  # the share of validation images that the threshold refuses
COVERAGES = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
STEEPEST = 20.0  # times the logits are stretched or shrunk at most


def find_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature that makes the labels [n] likeliest given logits [n, classes] over it.

    The targets are Platt's (1999), (n + 1) / (n + 2) for the label: where all of few images are right, no temperature
    is low enough for certain ones. The likelihood is concave in 1 / T, so its slope is bisected.
    """
    z = logits.astype(np.float64)
    rest = 1 / (len(z) + 2)
    wanted = (1 - rest) * z[np.arange(len(z)), labels] + rest * z.mean(axis=1)
    low, high = 1 / STEEPEST, STEEPEST
    for _ in range(60):
        middle = (low * high) ** 0.5
        shifted = np.exp(middle * (z - z.max(axis=1, keepdims=True)))
        expected = (shifted * z).sum(axis=1) / shifted.sum(axis=1)
        low, high = (low, middle) if expected.mean() > wanted.mean() else (middle, high)
    return float(1 / (low * high) ** 0.5)


def fold_temperature(net: nn.Module, temperature: float) -> bool:
    """Divide the logits of `net` by `temperature`: the weights and the bias of its last layer, in place.

    Returns False, with nothing changed, for a network that does not end in a dense layer.
    """
    last = [module for module in net.modules() if not any(True for _ in module.children())][-1]
    if not isinstance(last, nn.Linear):
        return False
    with torch.no_grad():
        for values in (last.weight, last.bias):
            if values is not None:
                values.div_(temperature)
    return True


def described_confidence(spec: ModelSpec, logits: NDArray[np.float32], labels: NDArray[np.int64]) -> ModelSpec:
    """The spec with the threshold and the quantiles that these validation answers, [n, classes] and [n], give."""
    known = np.sort(log_sum_exp(logits))
    surprise = np.sort(1 - softmax(logits)[np.arange(len(labels)), labels])
    return replace(
        spec,
        threshold=float(known[int(REFUSED * len(known))]),
        coverage=tuple((level, _quantile(surprise, level)) for level in COVERAGES),
    )


def _quantile(surprise: NDArray[np.float64], level: float) -> float:
    """Split conformal (Vovk et al. 2005; Sadinle et al. 2019): the ceil((n + 1) level)-th smallest of n; or 1."""
    rank = int(np.ceil((len(surprise) + 1) * level))
    return float(surprise[rank - 1]) if rank <= len(surprise) else 1.0


def calibrate(
    net: nn.Module, spec: ModelSpec, logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[float, ModelSpec]:
    """Fold the temperature that these validation logits of `net` ask for into it; return it, and the new spec.

    It is 1 where there is no layer to fold it into.
    """
    temperature = find_temperature(logits, labels)
    if not fold_temperature(net, temperature):
        temperature = 1.0
    return temperature, described_confidence(spec, (logits / temperature).astype(np.float32), labels)
