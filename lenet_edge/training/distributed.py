"""Distributed data parallel training: several processes, started by torchrun, that train one network as one would.

Every process draws the same shuffle, augmentation and dropout for the whole batch and takes its share of it. Gradients,
loss and hits are summed in one all-reduce a step (a few hundred kB: buckets that overlap with the backward pass would
gain nothing). BatchNorm takes the statistics of the whole batch, by one more all-reduce a layer forward and one
backward: torch's SyncBatchNorm knows GPUs only, and statistics of each share would make the result depend on the
number of processes. So the processes hold the same weights, averages and random states as one process would, but for
the order of sums, and a run may be resumed with another number of them.

The first process leads: it alone reads and writes runs, validates and prints. The others follow its messages.
"""

import contextlib
import os
import pickle
from collections.abc import Iterator
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lenet_edge.training.launcher import processes
from lenet_edge_runtime.errors import LenetEdgeError, TrainingError


class PeerGoneError(TrainingError):
    """Another process of the training ended; its own message says why."""


class Team:
    """The processes that train together. This one is alone: it touches nothing of torch.distributed."""

    rank = 0
    size = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes, validates and prints."""
        return self.rank == 0

    def share(self, images: int) -> slice:
        """This process's part of a batch of so many images."""
        return slice(0, images)

    def check(self, device: torch.device) -> None:
        """Raise TrainingError where this process cannot train on the device beside the others."""

    def adapt(self, net: nn.Module) -> None:
        """Make the layers whose training depends on the whole batch see the whole batch."""

    def sum_step(self, net: nn.Module, loss: Tensor, hits: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Sum the gradients in `net`, the loss and the hits, both scalars, over all processes."""
        return loss, hits

    def highest(self, number: int | None) -> int | None:
        """The greatest of the processes' numbers, None where all have none."""
        return number

    def send(self, message: Any) -> None:
        """Give the followers an object, which they `receive`."""


ALONE = Team()


class ProcessTeam(Team):
    """Joined by torch.distributed: gloo between CPUs, nccl between GPUs."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self._batch = 0  # images of the whole batch
        self._weights: dict[tuple[int, torch.device], Tensor] = {}

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self  # a copy of a network, such as its average, is of the same team

    def share(self, images: int) -> slice:
        if images < self.size:
            raise TrainingError(f"a batch of {images} images is too small for {self.size} processes; start fewer")
        self._batch = images
        return self._share_of(self.rank)

    def check(self, device: torch.device) -> None:
        if device.type not in ("cpu", "cuda"):
            raise TrainingError(f"several processes train on cpu or cuda, not on {device.type}: add --device cpu")
        local, present = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if device.type == "cuda" and local >= present:
            raise TrainingError(
                f"process {local + 1} of this machine has no GPU of its own, there are {present}: "
                f"choose --nproc-per-node {present}, or --device cpu"
            )

    def adapt(self, net: nn.Module) -> None:
        for module in net.modules():
            if (shared := _SHARED.get(type(module))) is not None:
                # Another class over the same parameters, buffers and hooks.
                module.__class__ = shared
                module.__dict__["team"] = self

    def sum_step(self, net: nn.Module, loss: Tensor, hits: Tensor) -> tuple[Tensor, Tensor]:
        parameters = [parameter for parameter in net.parameters() if parameter.grad is not None]
        gradients = [parameter.grad.flatten() for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([*gradients, loss.reshape(1), hits.reshape(1).to(loss.dtype)])
        self.all_reduce(flat)
        *summed, loss, hits = torch.split(flat, [*map(len, gradients), 1, 1])
        for parameter, gradient in zip(parameters, summed, strict=True):
            parameter.grad = gradient.view_as(parameter)
        return loss[0], hits[0]

    def highest(self, number: int | None) -> int | None:
        value = torch.tensor(number or 0)
        self.all_reduce(value, "MAX")
        return int(value) or None

    def send(self, message: Any) -> None:
        content = torch.frombuffer(bytearray(pickle.dumps(message)), dtype=torch.uint8)
        self._broadcast(torch.tensor(len(content)))
        self._broadcast(content)

    def receive(self) -> Any:
        """Wait for what the leading process sends."""
        length = torch.tensor(0)
        self._broadcast(length)
        content = torch.empty(int(length), dtype=torch.uint8)
        self._broadcast(content)
        return pickle.loads(content.numpy().tobytes())

    def weights(self, device: torch.device) -> Tensor:
        """The processes' shares of the batch, float32 [size], summing to 1."""
        key = self._batch, device
        if key not in self._weights:
            shares = [self._share_of(rank) for rank in range(self.size)]
            parts = [(share.stop - share.start) / self._batch for share in shares]
            self._weights[key] = torch.tensor(parts, device=device)
        return self._weights[key]

    @property
    def batch(self) -> int:
        """Images of the whole batch at this step."""
        return self._batch

    def all_reduce(self, tensor: Tensor, operation: str = "SUM") -> None:
        """Combine the processes' tensors in place; raise PeerGoneError where one has left."""
        from torch import distributed

        with _noticing():
            distributed.all_reduce(tensor, getattr(distributed.ReduceOp, operation))

    def _broadcast(self, tensor: Tensor) -> None:
        from torch import distributed

        with _noticing():
            distributed.broadcast(tensor, src=0)

    def _share_of(self, rank: int) -> slice:
        return slice(self._batch * rank // self.size, self._batch * (rank + 1) // self.size)


@contextlib.contextmanager
def assembled() -> Iterator[Team]:
    """The team that this process was started in, joined; ALONE without a launcher. The leader dismisses the others."""
    if processes() == 1:
        yield ALONE
        return
    # Imported first: its functions take the group of that moment as a default argument and would keep it, and gloo's
    # threads with it, until Python is finalised, where they abort the process.
    import torch.distributed.nn
    from torch import distributed

    if torch.cuda.is_available():
        torch.cuda.set_device(min(int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count() - 1))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    team = ProcessTeam(int(os.environ["RANK"]), processes())
    try:
        yield team
    except PeerGoneError:
        raise
    except (LenetEdgeError, OSError):
        _part(team)
        raise
    _part(team)


def _part(team: ProcessTeam) -> None:
    from torch import distributed

    if team.leads:
        team.send(None)
    distributed.destroy_process_group()


@contextlib.contextmanager
def _noticing() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # gloo: "Connection closed by peer"; nccl: DistBackendError
        reason = " ".join(str(error).split())[-120:]
        raise PeerGoneError(f"another process of this training is gone ({reason}); see its message") from None


class _Gathered(torch.autograd.Function):
    """Every process's tensor, stacked [size, ...]; the gradient of each comes back to where it was made."""

    @staticmethod
    def forward(ctx: Any, local: Tensor, team: ProcessTeam) -> Tensor:
        ctx.team = team
        table = local.new_zeros(team.size, *local.shape)
        table[team.rank] = local
        team.all_reduce(table)
        return table

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.contiguous().clone()
        ctx.team.all_reduce(gradient)
        return gradient[ctx.team.rank], None


class _SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm whose mean and variance in training are those of the whole batch."""

    team: ProcessTeam

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return super().forward(images)
        axes = [0, *range(2, images.ndim)]
        local = torch.stack([images.mean(axes), images.var(axes, correction=0)])
        means, variances = _Gathered.apply(local, self.team).unbind(1)  # [size, channels] each
        weights = self.team.weights(images.device)[:, None]
        mean = (weights * means).sum(0)
        # Of the parts' variances and distances, not of squares: no cancellation (Chan et al. 1979).
        variance = (weights * (variances + (means - mean) ** 2)).sum(0)
        self._remember(mean.detach(), variance.detach(), self.team.batch * images[0, 0].numel())
        shape = [1, -1] + [1] * (images.ndim - 2)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normalised: Tensor = images * scale.view(shape) + (self.bias - mean * scale).view(shape)
        return normalised

    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)


class _SharedBatchNorm1d(_SharedBatchNorm, nn.BatchNorm1d):
    pass


class _SharedBatchNorm2d(_SharedBatchNorm, nn.BatchNorm2d):
    pass


class _SharedDropout(nn.Dropout):
    """Dropout that draws for the whole batch, as one process does, and drops from its share."""

    team: ProcessTeam

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return F.dropout(images, self.p, training=False)
        kept = images.new_empty(self.team.batch, *images.shape[1:]).bernoulli_(1 - self.p)
        return images * kept[self.team.share(self.team.batch)].div_(1 - self.p)


_SHARED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: _SharedBatchNorm1d,
    nn.BatchNorm2d: _SharedBatchNorm2d,
    nn.Dropout: _SharedDropout,
}
