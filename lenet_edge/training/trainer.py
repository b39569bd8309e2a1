"""One training: the whole data set as one uint8 tensor on the device, augmented by the batch, no loader workers.

benchmarks/training_speed.py sets it beside a DataLoader with per-image transforms. The final weights are an exponential
moving average of the trained ones.
"""

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lenet_edge.data.augmentation import amounts_for, augment
from lenet_edge.data.image_data import ImageData, ImageForm
from lenet_edge.data.strangers import strangers
from lenet_edge.networks.models import build_model
from lenet_edge.runs import checkpoints
from lenet_edge.runs.checkpoints import TrainingState
from lenet_edge.runs.history import Epoch
from lenet_edge.runs.record import RunRecord
from lenet_edge.training.distributed import ALONE, Team
from lenet_edge.training.objective import STRANGER, class_weights, classification_loss, strangers_loss
from lenet_edge.training.optimization import learning_rate_at, optimizer_for, steps_per_epoch
from lenet_edge.training.quantization_aware import FakeQuantized
from lenet_edge.training.watcher import Progress, TrainingStopped, Watcher
from lenet_edge_exporters.pixels import PixelInput
from lenet_edge_runtime.errors import RunError, TrainingError
from lenet_edge_runtime.spec import ModelSpec

EVALUATION_BATCH = 500
CHECK_STEPS = 50  # steps between looks at the loss: each look waits for a GPU to finish
Tensors = tuple[Tensor, ...] | list[Tensor]


@dataclass(frozen=True)
class Assignment:
    """What the leading process tells its followers to train, from where on."""

    dataset: str  # what `load_dataset` takes
    record: RunRecord
    state: TrainingState
    form: ImageForm | None = None  # in which a user's own images are read


NEXT_EPOCH = "next epoch"  # what it tells them then


class Trainer:
    """The state of one training, and its one verb: another epoch. Every process of a team has one."""

    def __init__(self, record: RunRecord, data: ImageData, team: Team = ALONE) -> None:
        self.recipe, self.spec = record.recipe, record.spec
        self.device, self.team = torch.device(record.device), team
        team.check(self.device)
        torch.set_num_threads(record.threads)
        torch.manual_seed(record.seed)
        self.generator = torch.Generator().manual_seed(record.seed)  # shuffles and augments, on the CPU
        train, held_out = data.split(record.seed)
        self.train_pixels, self.train_labels = self.on_device(data.train_pixels[train], data.train_labels[train])
        self.val_pixels, self.val_labels = self.on_device(data.train_pixels[held_out], data.train_labels[held_out])
        self.class_weights = class_weights(self.recipe, data.train_labels[train], self.device)
        self.allowed, self.amounts = data.augmentation, amounts_for(self.recipe, data.augmentation)
        net = build_model(self.recipe.model)
        self.net: nn.Module = (FakeQuantized(net, self.spec) if record.quantization else net).to(self.device)
        team.adapt(self.net)
        self.input = PixelInput(self.net, self.spec).to(self.device)
        self.optimizer = optimizer_for(self.net, self.recipe, self.device)
        self.average = AveragedModel(self.net, multi_avg_fn=self._average, use_buffers=True)
        self.epoch = self.updates = 0
        self.steps = steps_per_epoch(self.recipe, len(self.train_pixels))
        self.batch_size = min(self.recipe.batch_size, len(self.train_pixels))
        self.strangers = math.ceil(self.recipe.strangers * self.batch_size)
        self.val_accuracy: float | None = None

    def on_device(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
        """Images and their labels where the training computes."""
        return torch.tensor(pixels, device=self.device), torch.tensor(labels, device=self.device)

    @property
    def final_net(self) -> nn.Module:
        """The network whose weights are kept: the average where the recipe keeps one."""
        module: nn.Module = self.average.module if self.recipe.average_decay else self.net
        return module

    def train_epoch(self, watcher: Watcher) -> Epoch:
        """Train one epoch and validate; raise TrainingStopped or TrainingError in its midst, having saved nothing."""
        if self.team.leads:
            self.team.send(NEXT_EPOCH)
        self.net.train()
        order = torch.randperm(len(self.train_pixels), generator=self.generator)
        size = self.batch_size
        loss_sum, right = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        rate, start = 0.0, time.perf_counter()
        for step in range(self.steps):
            if (signal_number := self._stop_signal(watcher, step)) is not None:
                raise TrainingStopped(f"stopped in epoch {self.epoch + 1}", signal_number)
            self.updates = self.epoch * self.steps + step
            rate = learning_rate_at(self.updates, self.recipe.epochs * self.steps, self.recipe)
            loss, hits = self._train_batch(order[step * size : (step + 1) * size].to(self.device), rate)
            loss_sum, right = loss_sum + loss, right + hits
            if step % CHECK_STEPS == 0 or step == self.steps - 1:
                speed = (step + 1) * size / (time.perf_counter() - start)
                watcher.progress(self._progress(step + 1, self._checked(loss_sum) / (step + 1), speed))
        images = self.steps * size
        images_per_second = images / (time.perf_counter() - start)
        val_loss, self.val_accuracy = self.validate() if self.team.leads else (math.nan, math.nan)
        self.epoch += 1
        return Epoch(
            epoch=self.epoch,
            learning_rate=rate,
            train_loss=float(loss_sum) / self.steps,
            train_accuracy=float(right) / images,
            val_loss=val_loss,
            val_accuracy=self.val_accuracy,
            seconds=time.perf_counter() - start,
            images_per_second=images_per_second,
        )

    def validate(self) -> tuple[float, float]:
        """Mean cross-entropy and accuracy of the final network on the validation images."""
        logits = logits_of(self.final_net, self.spec, self.val_pixels)
        loss = F.cross_entropy(logits, self.val_labels)
        return float(loss), accuracy_of(logits, self.val_labels)

    def state(self) -> TrainingState:
        """Everything that the next epoch depends on."""
        optimizer = {
            f"{i}.{key}": value
            for i, parameter in enumerate(self.net.parameters())
            for key, value in self.optimizer.state[parameter].items()
            if value is not None
        }
        parts = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": optimizer,
            "random": checkpoints.random_state(self.generator, self.device),
        }
        return TrainingState(self.epoch, checkpoints.flatten(parts))

    def restore(self, state: TrainingState) -> None:
        """Go back to a state, to go on from it as if nothing had happened."""
        if state.part("momentum"):
            raise RunError("the checkpoint is from lenet-edge 0.1, which stored the optimizer differently; train again")
        self.epoch = state.epoch
        self.net.load_state_dict(state.part("net"))
        self.average.load_state_dict(state.part("average"))
        for i, parameter in enumerate(self.net.parameters()):
            moments = state.part(f"optimizer.{i}")
            self.optimizer.state[parameter].update({key: value.to(self.device) for key, value in moments.items()})
        checkpoints.restore_random_state(state.part("random"), self.generator, self.device)

    def _progress(self, step: int, loss: float, speed: float) -> Progress:
        return Progress(self.epoch + 1, self.recipe.epochs, step, self.steps, loss, speed, self.val_accuracy)

    def _drawn(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """This process's share of a step: images float32 0 to 255, padded, and labels; STRANGER is a stranger's."""
        padding, count = self.recipe.padding, self.strangers
        share = self.team.share(len(indices) + count)
        pixels, labels = self.train_pixels[indices], self.train_labels[indices]
        if not count:
            return self._changed(pixels, padding, share), labels[share]
        sources = self._changed(pixels[:count], 0)
        strange = strangers(sources, labels[:count], self.allowed, self.spec.polarity != "any", self.generator)
        images = torch.cat([self._changed(pixels, padding), F.pad(strange, (padding,) * 4)])
        return images[share], torch.cat([labels, labels.new_full((count,), STRANGER)])[share]

    def _changed(self, pixels: Tensor, padding: int, share: slice = slice(None)) -> Tensor:
        if self.amounts is not None:
            return augment(pixels, padding, self.amounts, self.generator, share)
        return F.pad(pixels[share].float(), (padding,) * 4)

    def _train_batch(self, indices: Tensor, rate: float) -> tuple[Tensor, Tensor]:
        images, labels = self._drawn(indices)
        logits = self.net(images * self.input.scale + self.input.shift)
        whole = self.train_labels[indices]
        loss = classification_loss(logits, labels, whole, self.class_weights, self.recipe.label_smoothing)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        objective = loss + strangers_loss(logits, labels, self.strangers) if self.strangers else loss
        objective.backward()  # type: ignore[no-untyped-call]
        hits = (logits.detach().argmax(1) == labels).sum()
        loss, hits = self.team.sum_step(self.net, loss.detach(), hits)
        self.optimizer.step()
        if self.recipe.average_decay:
            self.average.update_parameters(self.net)
        return loss, hits

    def _stop_signal(self, watcher: Watcher, step: int) -> int | None:
        """What stops all processes of the team at the same step; asking the others takes a little time."""
        if self.team.size > 1 and step % CHECK_STEPS:
            return None
        return self.team.highest(watcher.stop_signal())

    def _average(self, averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        # In the first steps the average follows quickly, so that a short training is not stuck at its start.
        decay = min(self.recipe.average_decay, (1 + self.updates) / (10 + self.updates))
        get_ema_multi_avg_fn(decay)(averaged, current, count)  # type: ignore[no-untyped-call]

    def _checked(self, loss_sum: Tensor) -> float:
        value = float(loss_sum)
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} in epoch {self.epoch + 1}; the checkpoint of epoch {self.epoch} is kept; "
                f"try a lower --lr than {self.recipe.learning_rate:g}"
            )
        return value


def logits_of(net: nn.Module, spec: ModelSpec, pixels: Tensor) -> Tensor:
    """Logits, float32 [n, classes], of raw pixels uint8 [n, c, h, w] on the network's device, in evaluation mode."""
    was_training = net.training
    net.eval()
    module = PixelInput(net, spec).to(pixels.device)
    module.eval()
    with torch.inference_mode():
        logits = torch.cat([module(batch) for batch in torch.split(pixels, EVALUATION_BATCH)])
    net.train(was_training)
    return logits


def accuracy_of(logits: Tensor, labels: Tensor) -> float:
    """Share of the rows of logits [n, classes] whose greatest is the label's, as an exact fraction in float64."""
    return int((logits.argmax(1) == labels).sum()) / len(labels)
