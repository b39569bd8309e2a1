"""What a trained network refuses: test images, and strangers that are made of them as its training made its own."""

import numpy as np
import torch
from torch import nn

from lenet_edge.data.image_data import ImageData
from lenet_edge.data.strangers import strangers
from lenet_edge.training.trainer import logits_of
from lenet_edge_runtime.answers import are_known
from lenet_edge_runtime.spec import ModelSpec

MADE = 2000  # strangers, of as many test images at most


def refused_shares(net: nn.Module, spec: ModelSpec, data: ImageData, device: torch.device) -> dict[str, float]:
    """Shares of the test images, and of strangers made of them with seed 0, that the threshold of `spec` refuses.

    The strangers are of the kinds that training makes (`data.strangers`), of images that it never had.
    """
    chosen = np.random.default_rng(0).permutation(len(data.test_labels))[:MADE]
    images, labels = torch.tensor(data.test_pixels[chosen]).float(), torch.tensor(data.test_labels[chosen])
    generator = torch.Generator().manual_seed(0)
    made = strangers(images, labels, data.augmentation, spec.polarity != "any", generator).round().to(torch.uint8)
    shown = {"test_refused": torch.tensor(data.test_pixels), "strangers_refused": made}
    return {
        name: float(1 - are_known(logits_of(net, spec, pixels.to(device)).cpu().numpy(), spec).mean())
        for name, pixels in shown.items()
    }
