"""Fake quantization: a network that computes in float32 what its int8 file computes in integers, and can be trained.

Every value that is a byte in the file is rounded to that byte's grid here (Jacob et al. 2018, "Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"); gradients pass through the rounding as
if it were not there (the straight-through estimator of Bengio et al. 2013, "Estimating or Propagating Gradients
Through Stochastic Neurons"). BatchNorm is folded beforehand, so that the weights are those of the file.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from lenet_edge.networks.architectures import OwnNetConfig
from lenet_edge.networks.imported import without_batch_norm
from lenet_edge.networks.models import Network, build_model
from lenet_edge_exporters import activations
from lenet_edge_exporters.flattening import is_flattened_image
from lenet_edge_exporters.int8.ties import without_ties
from lenet_edge_exporters.int8.weights import scales
from lenet_edge_exporters.pixels import PixelInput
from lenet_edge_runtime.errors import TrainingError
from lenet_edge_runtime.spec import ModelSpec

CODES = 255  # the greatest code of a byte
WEIGHT_ZERO_POINT = 128  # signed weights are counted from 0 here, as activations are
RANGE_MOMENTUM = 0.01  # of a batch in the running maximum of an activation: the last few hundred batches count
TIE = 2.0**-13  # less than half of what the next sum is away, and more than float32's error
LEAST_RANGE = 1e-6  # of an activation
LAYERS = (nn.Conv2d, nn.Linear)


class FakeQuantized(nn.Module):
    """Wrap a network without BatchNorm: uint8 activations, int8 weights with a scale per output channel, int32 biases.

    While training, the range of every activation follows a running mean of the batches' maxima; in evaluation mode
    it stands still. Of a tanh it is the range of its input, because its output's is known.
    """

    largest: Tensor
    scale: Tensor
    shift: Tensor
    tanh_scales: Tensor

    def __init__(self, net: Network, spec: ModelSpec) -> None:
        super().__init__()
        self.net = net
        pixels = PixelInput(net, spec)
        self.register_buffer("scale", pixels.scale, persistent=False)
        self.register_buffer("shift", pixels.shift, persistent=False)
        self.register_buffer("tanh_scales", torch.tensor(np.array(activations.INPUT_SCALES)), persistent=False)
        hidden = sum(isinstance(module, LAYERS) for module in net.modules()) - 1
        self.register_buffer("largest", torch.full((hidden,), float("nan")))  # NaN: no batch was seen yet

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images, float32 [n, channels, size, size], to logits, float32 [n, classes]."""
        # The file takes whole pixels; augmented ones are not.
        x = torch.round((images - self.shift) / self.scale)
        step, layer = torch.ones((), device=x.device), 0
        shape = x.shape[1:]  # of what the next layer sees, before it is flattened
        for module in leaves(self.net):
            if isinstance(module, nn.Flatten):
                shape = x.shape[1:]
            if isinstance(module, LAYERS):
                x = self._layer(module, x, step, self._step(layer), self.scale if layer == 0 else None, shape)
                shape = x.shape[1:]
                layer += 1
            elif isinstance(module, nn.ReLU):
                x = torch.relu(x)
                step = self._follow(layer - 1, x) / CODES
                x = fake_quantize(beyond_ties(x, step), step, 0)
            elif isinstance(module, nn.Tanh):
                x, step = self._tanh(layer - 1, x)
            elif isinstance(module, nn.AvgPool2d):
                x = average_codes(module, x, step, int(activations.TANH_ZERO_POINT) if _has_tanh(self.net) else 0)
            else:
                x = module(x)
        return x

    def ranges(self) -> tuple[tuple[float, float], ...]:
        """The lowest and greatest value of the activations of each layer but the last; of tanh, before it."""
        lowest = -1.0 if _has_tanh(self.net) else 0.0
        return tuple((lowest * value, value) for value in self.largest.tolist())

    def observe(self, images: Tensor) -> None:
        """Start the ranges with the maxima over these normalised images, float32 [n, channels, size, size]."""
        self.largest.fill_(float("nan"))
        was_training = self.training
        self.train()
        with torch.no_grad():
            self(images)
        self.train(was_training)

    def _step(self, index: int) -> Tensor | None:
        """What a code of this layer's results stands for, as far as the batches so far say; None for logits."""
        if index == len(self.largest):
            return None
        largest = self.largest[index].clamp(min=LEAST_RANGE)
        return self._tanh_step(largest) if _has_tanh(self.net) else largest / CODES

    def _layer(
        self,
        module: nn.Conv2d | nn.Linear,
        x: Tensor,
        step: Tensor,
        target: Tensor | None,
        pixel_scale: Tensor | None,
        shape: torch.Size,
    ) -> Tensor:
        weight, bias = module.weight, module.bias
        assert bias is not None
        if pixel_scale is not None:  # the exporter folds the normalisation into the first layer
            bias = bias + (weight * self.shift).sum((1, 2, 3))
            weight = weight * pixel_scale
        steps = weight_steps(weight, shape, None if target is None else (float(step), float(target)))
        weight = fake_quantize(weight, steps, WEIGHT_ZERO_POINT)
        grid = step * steps.flatten()
        bias = bias + (torch.round(bias / grid) * grid - bias).detach()
        if isinstance(module, nn.Linear):
            return F.linear(x, weight, bias)
        return F.conv2d(x, weight, bias, padding=module.padding)

    def _tanh(self, index: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """As in `activations`: an input scale of its table, a fixed output scale. Returns the output and its scale."""
        step = self._tanh_step(self._follow(index, x.abs()))
        before = fake_quantize(beyond_ties(x, step), step, int(activations.INPUT_ZERO_POINT))
        step = x.new_tensor(activations.TANH_SCALE)
        return fake_quantize(torch.tanh(before), step, int(activations.TANH_ZERO_POINT)), step

    def _tanh_step(self, largest: Tensor) -> Tensor:
        fitting = (127 * self.tanh_scales >= largest).sum().clamp(min=1)
        return self.tanh_scales[fitting - 1]

    def _follow(self, index: int, magnitudes: Tensor) -> Tensor:
        """The running maximum of this activation, moved towards the batch's while training."""
        if self.training:
            now = magnitudes.detach().amax()
            before = self.largest[index]
            moved = torch.lerp(before, now, RANGE_MOMENTUM)
            self.largest[index] = torch.where(torch.isnan(before), now, moved)
        # A layer whose units are all dead has no range; any step will do for it.
        return self.largest[index].clamp(min=LEAST_RANGE)


def fake_quantize(values: Tensor, step: Tensor, zero_point: int) -> Tensor:
    """Round to the grid of a byte, `step * (code - zero_point)`; clipped values pass no gradient.

    `step` has one element, or a shape that broadcasts against `values`.
    """
    rounded: Tensor = _FakeQuantize.apply(values, step, zero_point)
    return rounded


def beyond_ties(values: Tensor, step: Tensor) -> Tensor:
    """Sums of a layer, moved from 0 by so little of a step that ties alone are rounded differently.

    The file's factors put every tie beyond its half (`int8.ties`), by less than float32 errs here.
    """
    return values + (TIE * step * values.sign()).detach()


def average_codes(pool: nn.AvgPool2d, values: Tensor, step: Tensor, zero_point: int) -> Tensor:
    """Pool values that lie on the grid `step * (code - zero_point)`; the averages are rounded to it too.

    Every fourth average of four codes is a tie, up to float32's own error: so every operation, and its order, is
    onnxruntime's (QLinearAveragePool), which adds the zero point before it rounds.
    """
    pooled: Tensor = pool(values)
    codes = torch.round(pooled / step + zero_point)
    return pooled + ((codes - zero_point) * step - pooled).detach()


def weight_steps(weight: Tensor, shape: torch.Size, between: tuple[float, float] | None = None) -> Tensor:
    """The scales of int8 weights per output channel, [outputs, 1, ...], as the exporter chooses them.

    `shape`: of the image that a dense layer's inputs are, [c, h, w], or of what they are else. `between`: the scales
    of the codes that the layer reads and gives; NaN, before the first batch, for what is not known.
    """
    values = weight.detach().cpu().numpy()
    if weight.ndim == 2 and is_flattened_image(tuple(shape)):
        values = values.reshape(len(values), *shape)
    found = scales(values)
    if between is not None and not np.isnan(between).any():
        found = without_ties(found, *map(np.float32, between))
    steps = torch.from_numpy(found).to(weight.device)
    return steps.reshape(-1, *(1,) * (weight.ndim - 1))


def fold_batch_norm(net: Network) -> Network:
    """A copy of a net in evaluation mode whose BatchNorm is folded into the layers before it (the same function)."""
    if isinstance(net.config, OwnNetConfig):
        raise TrainingError("--qat trains the networks of recipes; a program's own has to quantize itself in training")
    folded = build_model(without_batch_norm(net.config))
    modules = [*leaves(net), nn.Identity()]
    targets = iter([module for module in leaves(folded) if isinstance(module, LAYERS)])
    for module, following in pairwise(modules):
        if isinstance(module, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            next(targets).load_state_dict(fuse_conv_bn_eval(module, following).state_dict())
        elif isinstance(module, nn.Linear) and isinstance(following, nn.BatchNorm1d):
            next(targets).load_state_dict(fuse_linear_bn_eval(module, following).state_dict())
        elif isinstance(module, LAYERS):
            next(targets).load_state_dict(module.state_dict())
    return folded.eval()


def leaves(net: nn.Module) -> list[nn.Module]:
    """The modules that compute, in order."""
    return [module for module in net.modules() if not any(True for _ in module.children())]


def _has_tanh(net: Network) -> bool:
    return any(isinstance(module, nn.Tanh) for module in net.modules())


class _FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, step: Tensor, zero_point: int) -> Tensor:
        # Rounded before the zero point is added, as onnxruntime does: half to even would depend on it.
        codes = torch.round(values / step) + zero_point
        ctx.save_for_backward((codes >= 0) & (codes <= CODES))
        return (codes.clamp(0, CODES) - zero_point) * step

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None
