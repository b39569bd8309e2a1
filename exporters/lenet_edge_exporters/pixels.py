"""The network as it is deployed: raw pixels in, logits out, with padding and normalisation inside if so wanted."""

import copy
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lenet_edge_exporters.probabilities import as_logits
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.images import to_input
from lenet_edge_runtime.spec import PREFIX, InputType, ModelSpec, check_outputs, input_type_of

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


def deployable(net: nn.Module, spec: ModelSpec, input_type: InputType = "uint8") -> nn.Module:
    """A copy of `net` on the CPU, in evaluation mode, that takes this input and gives logits (`probabilities`).

    `net` itself is left as it is.
    """
    channels, height, width = spec.pixel_shape
    padded = (channels, height + 2 * spec.padding, width + 2 * spec.padding)
    bare = as_logits(copy.deepcopy(net).cpu().eval(), padded)
    return (PixelInput(bare, spec) if input_type == "uint8" else bare).eval().requires_grad_(False)


class TorchModel:
    """A torch module that takes the input its metadata states, with the verbs of `lenet_edge_runtime.Classifier`."""

    def __init__(self, module: Callable[[Tensor], Tensor], metadata: dict[str, str], threads: int = 1) -> None:
        self._module = module
        self._threads = threads
        self.metadata = metadata
        self._input_type = input_type_of(metadata)
        # A file without metadata is refused by whoever asks what it takes, not here.
        self._spec = ModelSpec.from_metadata(metadata) if PREFIX + "labels" in metadata else None

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run raw pixels, uint8 [n, c, h, w]; return the logits, float32 [n, classes]."""
        batches = [pixels[i : i + LOGITS_BATCH] for i in range(0, len(pixels), LOGITS_BATCH)]
        with torch.inference_mode():
            rows = [self._answered(batch) for batch in batches]
        found: NDArray[np.float32] = np.concatenate(rows)
        if self._spec is not None:
            check_outputs(found.shape[1] if found.ndim == 2 else found.shape, self._spec, "the file")
        return found

    def _answered(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            found: NDArray[np.float32] = self._module(self._fed(batch)).numpy()
        except (RuntimeError, TypeError, ValueError, AttributeError, AssertionError) as error:
            reason = " ".join(str(error).split())[-200:]
            raise ModelFileError(f"the file does not run on what its metadata says that it takes ({reason})") from None
        return found

    def bind(self, pixels: NDArray[np.uint8]) -> Callable[[], object]:
        """The bare call on `pixels`, for timing; sets torch's thread count, which is the whole process's."""
        torch.set_num_threads(self._threads)
        tensor = self._fed(pixels)

        def call() -> object:
            with torch.inference_mode():
                return self._module(tensor)

        return call

    def _fed(self, pixels: NDArray[np.uint8]) -> Tensor:
        given = (
            pixels
            if self._spec is None or self._input_type == "uint8"
            else to_input(pixels, self._spec, self._input_type)
        )
        return torch.tensor(given)  # a copy: the array may be read-only


def torch_model(net: nn.Module, spec: ModelSpec, threads: int = 1) -> TorchModel:
    """The original network in PyTorch: the oracle that every exported file is compared with."""
    return TorchModel(deployable(net, spec), spec.to_metadata(), threads)
