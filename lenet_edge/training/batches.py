"""The batches of an epoch: shuffled, changed at random, strangers beside them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lenet_edge.data.augmentation import Augmentation, amounts_for, augment
from lenet_edge.data.strangers import strangers
from lenet_edge.networks.recipes import Recipe
from lenet_edge.training.distributed import Team
from lenet_edge.training.objective import STRANGER


@dataclass(frozen=True)
class Batch:
    """This process's share of a step: images float32 0 to 255 [n, c, h, w], padded, and labels int64 [n].

    STRANGER is the label of a stranger. `whole` are the labels of all processes' images, without strangers.
    """

    images: Tensor
    labels: Tensor
    whole: Tensor


class Batches:
    """Where the training images, uint8 [n, c, h, w], and labels, int64 [n], become batches, by `generator` alone."""

    def __init__(
        self,
        pixels: Tensor,
        labels: Tensor,
        recipe: Recipe,
        allowed: Augmentation,
        has_polarity: bool,
        generator: torch.Generator,
        team: Team,
    ) -> None:
        self.pixels, self.labels = pixels, labels
        self.size = min(recipe.batch_size, len(pixels))
        self.strangers = math.ceil(recipe.strangers * self.size)
        self._padding, self._amounts, self._allowed = recipe.padding, amounts_for(recipe, allowed), allowed
        self._has_polarity, self._generator, self._team = has_polarity, generator, team

    def epoch(self, steps: int) -> Iterator[Batch]:
        """The batches of an epoch, each drawn when it is asked for."""
        order = torch.randperm(len(self.pixels), generator=self._generator)
        chosen = [part.to(self.pixels.device) for part in torch.split(order, self.size)[:steps]]
        return map(self.draw, chosen)

    def draw(self, indices: Tensor) -> Batch:
        """The batch of these images, changed as the generator says next."""
        count = self.strangers
        share = self._team.share(len(indices) + count)
        pixels, labels = self.pixels[indices], self.labels[indices]
        if not count:
            return Batch(self._changed(pixels, self._padding, share), labels[share], labels)
        sources = self._changed(pixels[:count], 0)
        strange = strangers(sources, labels[:count], self._allowed, self._has_polarity, self._generator)
        images = torch.cat([self._changed(pixels, self._padding), F.pad(strange, (self._padding,) * 4)])
        all_labels = torch.cat([labels, labels.new_full((count,), STRANGER)])
        return Batch(images[share], all_labels[share], labels)

    def _changed(self, pixels: Tensor, padding: int, share: slice = slice(None)) -> Tensor:
        if self._amounts is not None:
            return augment(pixels, padding, self._amounts, self._generator, share)
        return F.pad(pixels[share].float(), (padding,) * 4)
