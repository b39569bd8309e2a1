"""How a recipe takes its steps: how many, at which learning rate, by which optimizer."""

import math

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from lenet_edge.networks.recipes import Recipe

QUINTIC = (3.4445, -4.7750, 2.0315)  # of Jordan et al. 2024: takes singular values from 0.01 on to about 1 the fastest
ITERATIONS = 3
ORTHOGONAL = 0.2  # of the learning rate, for a step whose singular values are all about 1


def epochs_for(recipe: Recipe, images: int) -> int:
    """Epochs that give at least the recipe's minimum number of steps on this many images."""
    return max(recipe.epochs, math.ceil(recipe.minimum_steps / steps_per_epoch(recipe, images)))


def steps_per_epoch(recipe: Recipe, images: int) -> int:
    """Whole batches in an epoch; the few images left over by a shuffle are not used in it."""
    return max(1, images // recipe.batch_size)


def learning_rate_at(step: int, total: int, recipe: Recipe) -> float:
    """Cosine warm-up from a 25th of the peak, then cosine decay to zero (OneCycle, Smith & Topin 2018); or constant."""
    if recipe.schedule == "constant":
        return recipe.learning_rate
    warm = recipe.warmup * total
    if step < warm:
        rise = (1 - math.cos(math.pi * step / warm)) / 2
        return recipe.learning_rate * (0.04 + 0.96 * rise)
    fall = (1 + math.cos(math.pi * (step - warm) / max(1.0, total - warm))) / 2
    return recipe.learning_rate * fall


def orthogonalised(step: Tensor) -> Tensor:
    """A step for a layer's weights, float32 [outputs, ...], of the same singular vectors and of values about 1.

    Newton-Schulz iterations (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks") on the
    matrix [outputs, inputs of one output].
    """
    matrix = step.flatten(1)
    is_tall = len(matrix) > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    x = x / (x.norm() + 1e-7)
    first, third, fifth = QUINTIC
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = first * x + (third * square + fifth * square @ square) @ x
    result: Tensor = (x.T if is_tall else x).reshape(step.shape)
    return result


class Optimizer:
    """SGD, Adam or Muon as the recipe says; weight decay spares biases and BatchNorm.

    The steps of the first two are those of torch.optim.SGD and torch.optim.Adam bit for bit, by torch's own kernels.
    Those classes import torch's compiler as soon as they are made, which takes more than a second. Muon orthogonalises
    the steps of all weights but the last layer's; biases, BatchNorm and the last layer take those of SGD. Its weight
    decay is apart from the steps (Loshchilov & Hutter 2019, arXiv:1711.05101). `state` has, for each parameter, the
    tensors that the next step depends on, by torch's names for them.
    """

    def __init__(self, net: nn.Module, recipe: Recipe, fused: bool) -> None:
        self._recipe, self._fused = recipe, fused
        self._parameters: list[Tensor] = list(net.parameters())
        self.state = {parameter: self._fresh(parameter) for parameter in self._parameters}
        weights = [parameter for parameter in self._parameters if parameter.ndim > 1]
        self._hidden = weights[:-1] if recipe.optimizer == "muon" else []
        hidden = set(map(id, self._hidden))
        self._others = [parameter for parameter in self._parameters if id(parameter) not in hidden]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move every parameter that has a gradient by it, at this learning rate."""
        decay = self._recipe.weight_decay
        if self._recipe.optimizer == "muon":
            torch._foreach_mul_([parameter for parameter in self._parameters if parameter.ndim > 1], 1 - rate * decay)
            decay = 0.0
        for parameter in self._hidden:
            self._muon(parameter, rate)
        moved = [parameter for parameter in self._others if parameter.grad is not None]
        for share, parameters in (
            (decay, [parameter for parameter in moved if parameter.ndim > 1]),
            (0.0, [parameter for parameter in moved if parameter.ndim <= 1]),
        ):
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            if self._recipe.optimizer == "adam":
                self._adam(parameters, gradients, rate, share)
            else:
                self._sgd(parameters, gradients, rate, share)

    def _fresh(self, parameter: Tensor) -> dict[str, Tensor]:
        if self._recipe.optimizer != "adam":
            # Where torch has no buffer before the first step: -0 leaves what is added to it as it is, even 0.
            has_buffer = self._recipe.momentum or self._recipe.optimizer == "muon"
            return {"momentum_buffer": torch.full_like(parameter, -0.0)} if has_buffer else {}
        step = torch.zeros((), device=parameter.device if self._fused else "cpu")
        return {"step": step, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}

    def _sgd(self, parameters: list[Tensor], gradients: list[Tensor], rate: float, decay: float) -> None:
        sgd(
            parameters,
            gradients,
            [self.state[parameter].get("momentum_buffer") for parameter in parameters],
            fused=self._fused,
            weight_decay=decay,
            momentum=self._recipe.momentum,
            lr=rate,
            dampening=0.0,
            nesterov=self._recipe.nesterov,
            maximize=False,
        )

    def _muon(self, parameter: Tensor, rate: float) -> None:
        if parameter.grad is None:
            return
        momentum = self._recipe.momentum
        buffer = self.state[parameter]["momentum_buffer"].mul_(momentum).add_(parameter.grad)
        step = parameter.grad.add(buffer, alpha=momentum) if self._recipe.nesterov else buffer
        parameter.sub_(orthogonalised(step), alpha=ORTHOGONAL * rate)

    def _adam(self, parameters: list[Tensor], gradients: list[Tensor], rate: float, decay: float) -> None:
        states = [self.state[parameter] for parameter in parameters]
        adam(
            parameters,
            gradients,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=self._fused,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=rate,
            weight_decay=decay,
            eps=1e-8,
            maximize=False,
        )
