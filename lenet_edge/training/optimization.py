"""How a recipe takes its steps: how many, at which learning rate, by which optimizer."""

import math

import torch
from torch import nn

from lenet_edge.networks.recipes import Recipe


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


def optimizer_for(net: nn.Module, recipe: Recipe, device: torch.device) -> torch.optim.Optimizer:
    """The recipe's optimizer, fused where torch can; weight decay spares biases and BatchNorm."""
    weights = [parameter for parameter in net.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in net.parameters() if parameter.ndim <= 1]
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    fused = device.type in ("cpu", "cuda")
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=recipe.learning_rate, fused=fused)
    return torch.optim.SGD(
        groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=fused
    )
