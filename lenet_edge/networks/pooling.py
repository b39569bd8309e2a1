"""2x2 max pooling, and a ReLU before it, that train fast on a CPU."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


class MaxPool2x2(nn.MaxPool2d):
    """2x2 max pooling that trains twice as fast on a CPU, with the same values and gradients bit for bit.

    torch's kernel takes 1.2 ms forward for [128, 6, 28, 28] where three element-wise maxima take 0.07 ms (2 cores
    of an AMD EPYC 9005, torch 2.15). Elsewhere, and when exported, this is plain MaxPool2d. Where it `rectifies`, it
    stands behind a DeferredReLU.
    """

    evaluates_fast = False  # set by `fast_evaluation`

    def __init__(self, rectifies: bool = False) -> None:
        super().__init__(2)
        self.rectifies = rectifies

    def forward(self, images: Tensor) -> Tensor:
        """float32 [n, c, h, w] to [n, c, h / 2, w / 2], for even h and w."""
        on_cpu = images.device.type == "cpu"
        if self.training and on_cpu:
            pooled: Tensor = _MaxOfCorners.apply(images, self.rectifies)
        elif self.evaluates_fast and on_cpu:
            pooled = _max_of_corners(images)[1]
        else:
            pooled = super().forward(images)
        return pooled


class DeferredReLU(nn.ReLU):
    """The ReLU before a MaxPool2x2 that `rectifies`: while a CPU trains, that does it, on a quarter of the values.

    The greatest of four is the same before and after, and so is where its gradient goes. Elsewhere it is plain ReLU.
    """

    def forward(self, images: Tensor) -> Tensor:
        """The images as they are, or their positive part."""
        return images if self.training and images.device.type == "cpu" else super().forward(images)


@contextlib.contextmanager
def fast_evaluation(net: nn.Module) -> Iterator[None]:
    """While this lasts, the net pools fast in evaluation mode, too: for calls that nothing traces."""
    pools = [module for module in net.modules() if isinstance(module, MaxPool2x2)]
    for pool in pools:
        pool.evaluates_fast = True
    try:
        yield
    finally:
        for pool in pools:
            pool.evaluates_fast = False


def _max_of_corners(images: Tensor) -> tuple[Tensor, Tensor]:
    """The greater of each two neighbours in a row, [n, c, h, w / 2], and of each 2x2 window."""
    pairs = torch.maximum(images[..., 0::2], images[..., 1::2])
    return pairs, torch.maximum(pairs[..., 0::2, :], pairs[..., 1::2, :])


class _MaxOfCorners(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, rectifies: bool) -> Tensor:
        pairs, pooled = _max_of_corners(images)
        if rectifies:
            pooled.clamp_(min=0)
        ctx.save_for_backward(images, pairs, pooled if rectifies else None)
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        images, pairs, pooled = ctx.saved_tensors
        if pooled is not None:
            gradient = gradient * (pooled > 0)
        # Among equals the upper one gets the gradient, and of two in a row the left one, as in torch's kernel.
        of_pairs = _to_the_greater(gradient, pairs, pairs[..., 0::2, :], pairs[..., 1::2, :], rows=True)
        return _to_the_greater(of_pairs, images, images[..., 0::2], images[..., 1::2], rows=False), None


def _to_the_greater(gradient: Tensor, like: Tensor, first: Tensor, second: Tensor, rows: bool) -> Tensor:
    """The gradient of the maximum of `first` and `second`, every other row or column of `like`."""
    result = torch.empty_like(like)
    ours, theirs = (result[..., 0::2, :], result[..., 1::2, :]) if rows else (result[..., 0::2], result[..., 1::2])
    torch.mul(gradient, first >= second, out=ours)
    torch.sub(gradient, ours, out=theirs)
    return result
