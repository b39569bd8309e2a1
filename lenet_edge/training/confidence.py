"""Probabilities that mean what they say: one temperature, found on the validation images, folded into the last layer.

Guo et al. 2017, "On Calibration of Modern Neural Networks". Dividing the last layer's weights and bias by it divides
the logits: no operator more, the same classes, every format alike. From the folded network's validation answers come,
too, the threshold below which an image shows none of the classes, and the quantiles of conformal sets.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lenet_edge.networks.models import Network
from lenet_edge_runtime.answers import log_sum_exp, softmax
from lenet_edge_runtime.spec import ModelSpec

REFUSED = 0.01  # the share of validation images that the threshold refuses
COVERAGES = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
STEEPEST = 20.0  # times the logits are stretched or shrunk at most
LAYERS = (nn.Linear, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d)  # whose weights and biases scale what they give


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


def fold_temperature(net: Network, temperature: float) -> bool:
    """Divide the logits of `net` by `temperature`: the weights and the bias of one layer, in place.

    That layer is found by trying, on images of noise, from the last one made to the first: a program's own network may
    make its layers in another order than it runs them in. Returns False, with nothing changed, where there is none.
    """
    before = _on_noise(net)
    for layer in reversed([module for module in net.modules() if isinstance(module, LAYERS)]):
        numbers = [values for values in (layer.weight, layer.bias) if values is not None]
        kept = [values.detach().clone() for values in numbers]
        with torch.no_grad():
            for values in numbers:
                values.div_(temperature)
            wanted = before / temperature
            if torch.allclose(_on_noise(net), wanted, rtol=0, atol=1e-4 * float(wanted.abs().max())):
                return True
            for values, old in zip(numbers, kept, strict=True):
                values.copy_(old)
    return False


def _on_noise(net: Network) -> Tensor:
    """Logits of four images of noise, float32 [4, classes], in evaluation mode."""
    config, device, was_training = net.config, next(net.parameters()).device, net.training
    images = torch.randn(4, config.channels, config.size, config.size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits: Tensor = net.eval()(images.to(device))
    net.train(was_training)
    return logits


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
    net: Network, spec: ModelSpec, logits: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[float | None, ModelSpec]:
    """Fold the temperature that these validation logits of `net` ask for into it; return it, and the new spec.

    It is None, and the net as it was, where there is no layer to fold it into.
    """
    temperature = find_temperature(logits, labels)
    if not fold_temperature(net, temperature):
        return None, described_confidence(spec, logits, labels)
    return temperature, described_confidence(spec, (logits / temperature).astype(np.float32), labels)
