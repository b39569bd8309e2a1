"""The network as it is deployed: raw pixels in, logits out, with padding and normalisation inside."""

import copy
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lenet_edge_runtime.spec import ModelSpec

LOGITS_BATCH = 500  # images a call: the activations of a LeNet then stay within the cache


class PixelInput(nn.Module):
    """Wrap `net`, which takes normalised float32 [n, c, h + 2p, w + 2p], so that it takes uint8 [n, c, h, w]."""

    scale: Tensor
    shift: Tensor

    def __init__(self, net: nn.Module, spec: ModelSpec) -> None:
        super().__init__()
        self.net = net
        self.padding = spec.padding
        mean, std = (np.asarray(values, np.float64).reshape(1, -1, 1, 1) for values in (spec.mean, spec.std))
        # (x / 255 - mean) / std as one multiplication and one addition, the form that folds into a convolution.
        self.register_buffer("scale", torch.tensor(1 / (255 * std), dtype=torch.float32))
        self.register_buffer("shift", torch.tensor(-mean / std, dtype=torch.float32))

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 [n, c, h, w] to logits, float32 [n, classes]."""
        x = pixels.float()
        if self.padding:
            x = F.pad(x, (self.padding,) * 4)
        logits: Tensor = self.net(x * self.scale + self.shift)
        return logits


def deployable(net: nn.Module, spec: ModelSpec) -> PixelInput:
    """A copy of `net` on the CPU, in evaluation mode, that takes raw pixels; `net` itself is left as it is."""
    return PixelInput(copy.deepcopy(net).cpu(), spec).eval().requires_grad_(False)


class TorchModel:
    """A torch module that takes raw pixels, with the verbs of `lenet_edge_runtime.Classifier`."""

    def __init__(self, module: Callable[[Tensor], Tensor], metadata: dict[str, str], threads: int = 1) -> None:
        self._module = module
        self._threads = threads
        self.metadata = metadata

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run raw pixels, uint8 [n, c, h, w]; return the logits, float32 [n, classes]."""
        batches = [pixels[i : i + LOGITS_BATCH] for i in range(0, len(pixels), LOGITS_BATCH)]
        with torch.inference_mode():
            rows = [self._module(torch.tensor(batch)).numpy() for batch in batches]
        return np.concatenate(rows)

    def bind(self, pixels: NDArray[np.uint8]) -> Callable[[], object]:
        """The bare call on `pixels`, for timing; sets torch's thread count, which is the whole process's."""
        torch.set_num_threads(self._threads)
        tensor = torch.tensor(pixels)  # a copy: the array may be read-only

        def call() -> object:
            with torch.inference_mode():
                return self._module(tensor)

        return call


def torch_model(net: nn.Module, spec: ModelSpec, threads: int = 1) -> TorchModel:
    """The original network in PyTorch: the oracle that every exported file is compared with."""
    return TorchModel(deployable(net, spec), spec.to_metadata(), threads)
