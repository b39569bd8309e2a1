"""A net that ends in Softmax or LogSoftmax, as one that gives logits.

The exported files append a softmax of their own; of probabilities it would make something flat (0.9978 becomes 0.2315
among ten classes). So the last step is left out, the same in every format: a call of softmax or log_softmax whose
result is the net's output is answered with what it was given. A net that gives probabilities in another way gets their
logarithm, of which the softmax is the probabilities again; logarithms of probabilities are logits as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

SOFTMAX = (Tensor.softmax, torch.softmax, F.softmax, torch.special.softmax)
LOG_SOFTMAX = (Tensor.log_softmax, torch.log_softmax, F.log_softmax, torch.special.log_softmax)
UNDONE = {**dict.fromkeys((Tensor.log, torch.log), SOFTMAX), **dict.fromkeys((Tensor.exp, torch.exp), LOG_SOFTMAX)}
TOLERANCE = 1e-3  # of a row's sum
SMALLEST = 1e-30  # of a probability whose logarithm is taken: float32 holds it


class _Watch(TorchFunctionMode):
    """Notes what softmax and log_softmax were given over the last axis, by the identity of their results."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[int, tuple[Tensor, Tensor, Any]] = {}  # the result is kept, so that its id stays its own

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = args[0] if args else (kwargs or {}).get("input")
        if isinstance(result, Tensor) and isinstance(given, Tensor):
            if func in SOFTMAX + LOG_SOFTMAX and given.dim() == 2:
                self._kept[id(result)] = (result, given, SOFTMAX if func in SOFTMAX else LOG_SOFTMAX)
            elif func in UNDONE and (before := self._kept.get(id(given))) and before[2] is UNDONE[func]:
                self._kept[id(result)] = (result, before[1], None)
        return result

    def without(self, output: Tensor) -> Tensor:
        kept = self._kept.get(id(output))
        return output if kept is None else kept[1]


class WithoutSoftmax(nn.Module):
    """Wrap a net whose last call is a softmax or a log_softmax over classes: what that call is given."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """What the net takes, to logits, float32 [n, classes]."""
        watch = _Watch()
        with watch:
            output: Tensor = self.net(images)
        return watch.without(output)


class Logarithm(nn.Module):
    """Wrap a net that gives probabilities: their natural logarithms."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """What the net takes, to logits, float32 [n, classes]."""
        probabilities: Tensor = self.net(images)
        return torch.log(torch.clamp(probabilities, min=SMALLEST))


def as_logits(net: nn.Module, image_shape: tuple[int, ...]) -> nn.Module:
    """The net itself where its outputs are logits already, else one that gives them.

    It is asked with four images of noise of `image_shape`, (channels, height, width) as the net takes them.
    """
    images = torch.randn((4, *image_shape), generator=torch.Generator().manual_seed(0))
    watch = _Watch()
    with torch.inference_mode(), watch:
        output = net(images)
    if not isinstance(output, Tensor) or output.dim() != 2:
        return net  # whoever reads the output says what is wrong with it
    if watch.without(output) is not output:
        return WithoutSoftmax(net)
    rows = output.double()
    sums_to_one = bool((rows >= 0).all() and ((rows.sum(1) - 1).abs() < TOLERANCE).all())
    return Logarithm(net) if sums_to_one and rows.shape[1] > 1 else net
