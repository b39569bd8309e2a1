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

from lenet_edge.data.image_data import ImageData, ImageForm
from lenet_edge.networks.models import build_model
from lenet_edge.networks.pooling import fast_evaluation
from lenet_edge.runs import checkpoints
from lenet_edge.runs.checkpoints import TrainingState
from lenet_edge.runs.history import Epoch
from lenet_edge.runs.record import RunRecord
from lenet_edge.training.averaging import WeightAverage
from lenet_edge.training.batches import Batch, Batches
from lenet_edge.training.distributed import ALONE, Team
from lenet_edge.training.objective import class_weights, classification_loss, strangers_loss
from lenet_edge.training.optimization import Optimizer, learning_rate_at, steps_per_epoch
from lenet_edge.training.quantization_aware import FakeQuantized
from lenet_edge.training.watcher import Progress, TrainingStopped, Watcher
from lenet_edge_exporters.pixels import PixelInput
from lenet_edge_runtime.errors import RunError, TrainingError
from lenet_edge_runtime.spec import ModelSpec

EVALUATION_BATCH = 500
CHECK_STEPS = 50  # steps between looks at the loss: each look waits for a GPU to finish


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
        net = build_model(self.recipe.model)
        self.net: nn.Module = (FakeQuantized(net, self.spec) if record.quantization else net).to(self.device)
        team.adapt(self.net)
        self.input = PixelInput(self.net, self.spec).to(self.device)
        self.optimizer = Optimizer(self.net, self.recipe, fused=self.device.type in ("cpu", "cuda"))
        self.average = WeightAverage(self.net)
        self.epoch = self.updates = 0
        self.steps = steps_per_epoch(self.recipe, len(self.train_pixels))
        self.batches = Batches(
            self.train_pixels, self.train_labels, self.recipe, data.augmentation, self.spec.polarity != "any",
            self.generator, team,
        )  # fmt: skip
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
        size = self.batches.size
        loss_sum, right = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        rate, start = 0.0, time.perf_counter()
        for step, batch in enumerate(self.batches.epoch(self.steps)):
            if (signal_number := self._stop_signal(watcher, step)) is not None:
                raise TrainingStopped(f"stopped in epoch {self.epoch + 1}", signal_number)
            self.updates = self.epoch * self.steps + step
            rate = learning_rate_at(self.updates, self.recipe.epochs * self.steps, self.recipe)
            loss, hits = self._train_batch(batch, rate)
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

    def _train_batch(self, batch: Batch, rate: float) -> tuple[Tensor, Tensor]:
        logits, count = self.net(batch.images * self.input.scale + self.input.shift), self.batches.strangers
        smoothing = self.recipe.label_smoothing
        loss = classification_loss(logits, batch.labels, batch.whole, self.class_weights, smoothing)
        self.optimizer.zero_grad()
        objective = loss + strangers_loss(logits, batch.labels, count) if count else loss
        objective.backward()  # type: ignore[no-untyped-call]
        hits = (logits.detach().argmax(1) == batch.labels).sum()
        loss, hits = self.team.sum_step(self.net, loss.detach(), hits)
        self.optimizer.step(rate)
        if self.recipe.average_decay:
            # In the first steps the average follows quickly, so that a short training is not stuck at its start.
            self.average.update(min(self.recipe.average_decay, (1 + self.updates) / (10 + self.updates)))
        return loss, hits

    def _stop_signal(self, watcher: Watcher, step: int) -> int | None:
        """What stops all processes of the team at the same step; asking the others takes a little time."""
        if self.team.size > 1 and step % CHECK_STEPS:
            return None
        return self.team.highest(watcher.stop_signal())

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
    with torch.inference_mode(), fast_evaluation(net):
        logits = torch.cat([module(batch) for batch in torch.split(pixels, EVALUATION_BATCH)])
    net.train(was_training)
    return logits


def accuracy_of(logits: Tensor, labels: Tensor) -> float:
    """Share of the rows of logits [n, classes] whose greatest is the label's, as an exact fraction in float64."""
    return int((logits.argmax(1) == labels).sum()) / len(labels)
