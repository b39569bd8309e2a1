"""What each step towards a faster training gains: the default recipe's loop, and that loop with one step taken back.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/training_steps.py [--rounds 10]

In one run, interleaved, in shuffled order; threads wait as in `lenet-edge train`. The lower rows are what was tried and
not kept, each added to the loop.
"""

import argparse
import contextlib
import os
import shlex
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lenet_edge.data import augmentation
from lenet_edge.data.datasets import load_dataset
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.pooling import DeferredReLU, MaxPool2x2
from lenet_edge.networks.recipes import RECIPES
from lenet_edge.training.batches import Batch
from lenet_edge.training.trainer import Trainer
from lenet_edge.training.training import start_record
from lenet_edge.training.watcher import Watcher
from lenet_edge_runtime.host import describe_host
from training_speed import Contender, interleaved, ratio, subset

RECIPE = RECIPES["lenet5"]
Change = Callable[[Trainer], None]
Patches = Callable[[contextlib.ExitStack], object]


class TorchSgd:
    """torch.optim.SGD with the verbs of our optimizer."""

    def __init__(self, trainer: Trainer) -> None:
        recipe, parameters = trainer.recipe, list(trainer.net.parameters())
        groups = [
            {"params": [each for each in parameters if each.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [each for each in parameters if each.ndim <= 1]},
        ]
        self.sgd = torch.optim.SGD(groups, lr=1.0, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=True)
        self.zero_grad = self.sgd.zero_grad

    def step(self, rate: float) -> None:
        """Move the parameters."""
        for group in self.sgd.param_groups:
            group["lr"] = rate
        self.sgd.step()


class TorchAverage:
    """torch's AveragedModel with the verbs of our average."""

    def __init__(self, trainer: Trainer) -> None:
        self.decay = 0.0
        self.average = AveragedModel(trainer.net, multi_avg_fn=self._move, use_buffers=True)
        self.module, self.net = self.average.module, trainer.net

    def update(self, decay: float) -> None:
        """Move the average."""
        self.decay = decay
        self.average.update_parameters(self.net)

    def _move(self, *lists: list[Tensor]) -> None:
        get_ema_multi_avg_fn(self.decay)(*lists)


def torchs_optimizer(trainer: Trainer) -> None:
    """torch.optim.SGD, fused."""
    trainer.optimizer = TorchSgd(trainer)  # type: ignore[assignment]


def torchs_average(trainer: Trainer) -> None:
    """torch.optim.swa_utils.AveragedModel."""
    trainer.average = TorchAverage(trainer)  # type: ignore[assignment]


def drawn_ahead(trainer: Trainer) -> None:
    """A thread draws the next batch while this one trains; one, so that the draws keep their order."""
    pool = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,))
    draw, waiting = trainer.batches.draw, deque[Future[Batch]]()

    def epoch(steps: int) -> Iterator[Batch]:
        order = torch.randperm(len(trainer.batches.pixels), generator=trainer.generator)
        for indices in torch.split(order, trainer.batches.size)[:steps]:
            waiting.append(pool.submit(draw, indices))
            if len(waiting) == 2:
                yield waiting.popleft().result()
        yield waiting.popleft().result()

    trainer.batches.epoch = epoch  # type: ignore[method-assign]


def channels_last(trainer: Trainer) -> None:
    """Maps stored pixel by pixel."""
    trainer.net.to(memory_format=torch.channels_last)


def compiled(trainer: Trainer) -> None:
    """The network through torch.compile; compiled at the first batch, in the warm-up."""
    trainer.net.compile()


def seldom_averaged(trainer: Trainer) -> None:
    """The average moved at every fourth step only."""
    update, calls = trainer.average.update, iter(range(sys.maxsize))
    trainer.average.update = lambda decay: next(calls) % 4 or update(decay**4)  # type: ignore[method-assign]


def torchs_grid(stack: contextlib.ExitStack) -> None:
    """torch's affine_grid, by a product of small matrices."""

    def grid(theta: Tensor, height: int, width: int) -> Tensor:
        return F.affine_grid(theta, [len(theta), 1, height, width], align_corners=False)

    stack.enter_context(mock.patch.object(augmentation, "_grid", grid))


def relu_first(stack: contextlib.ExitStack) -> None:
    """ReLU before pooling, on four times the values."""
    stack.enter_context(mock.patch.object(DeferredReLU, "forward", nn.ReLU.forward))


def torchs_pooling(stack: contextlib.ExitStack) -> None:
    """torch's max pooling behind its ReLU."""
    relu_first(stack)
    stack.enter_context(mock.patch.object(MaxPool2x2, "forward", nn.MaxPool2d.forward))


def nothing(_: object) -> None:
    """The loop as it is."""


def all_back(trainer: Trainer) -> None:
    """All changes of a trainer that are kept, taken back."""
    for change in (torchs_optimizer, torchs_average):
        change(trainer)


def all_patched(stack: contextlib.ExitStack) -> None:
    """All other steps that are kept, taken back."""
    torchs_grid(stack)
    torchs_pooling(stack)


WAYS: dict[str, tuple[Change, Patches]] = {
    "lenet-edge": (nothing, nothing),
    "without: a grid from sums": (nothing, torchs_grid),
    "without: ReLU after pooling": (nothing, relu_first),
    "without: ReLU after pooling, pooling by maxima": (nothing, torchs_pooling),
    "without: our call of the optimizer": (torchs_optimizer, nothing),
    "without: our average": (torchs_average, nothing),
    "without all of these": (all_back, all_patched),
    "with: the next batch drawn meanwhile": (drawn_ahead, nothing),
    "with: averaging at every fourth step": (seldom_averaged, nothing),
    "with: channels last": (channels_last, nothing),
    "with: torch.compile": (compiled, nothing),
}


def contender(data: ImageData, threads: int, change: Change, patches: Patches, clock: Callable[[], float]) -> Contender:
    """The training loop with a change; trains an epoch of these images, and validates."""
    trainer = Trainer(start_record(RECIPE, data, device="cpu", threads=threads, epochs=1000), data)
    change(trainer)

    def train() -> float:
        torch.set_num_threads(threads)
        with contextlib.ExitStack() as stack:
            patches(stack)
            start = clock()
            trainer.train_epoch(Watcher())
            return trainer.steps * trainer.batches.size / (clock() - start)

    return train


def table(speeds: dict[str, list[float]]) -> list[str]:
    """Rows of Markdown: images a second, and the loop's speed over that of each other one."""
    ours = speeds["lenet-edge"]
    rows = [
        "| training loop | images/s | lenet-edge is faster by (95 % interval) |",
        "| --- | ---: | ---: |",
    ]
    for name, values in speeds.items():
        compared = "" if values is ours else "{:.2f} ({:.2f} to {:.2f})".format(*ratio(ours, values))
        rows.append(f"| {name} | {sum(values) / len(values):,.0f} | {compared} |")
    return rows


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description="What each step towards a faster training gains, as Markdown.")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--batches", type=int, default=150, help="of a round: one to two seconds")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processor", action="store_true", help="processor time, for a busy machine; with --threads 1")
    parser.add_argument("--without-compile", action="store_true", help="leave torch.compile out, which takes a minute")
    arguments = parser.parse_args()
    host = describe_host(("lenet-edge", "torch"))
    whole = load_dataset("mnist", arguments.data_dir)
    few = subset(whole, arguments.batches * RECIPE.batch_size * 12 // 11 + 200)
    names = [name for name in WAYS if not (arguments.without_compile and "compile" in name)]
    clock = time.process_time if arguments.processor else time.perf_counter
    ways = {name: contender(few, arguments.threads, *WAYS[name], clock) for name in names}
    print("\n".join(table(interleaved(ways, arguments.rounds))))
    waiting, timed = os.environ.get("OMP_WAIT_POLICY", "as it is"), "processor" if arguments.processor else "clock"
    print(
        f"\n{arguments.rounds} rounds of {arguments.batches} batches of {RECIPE.batch_size}, recipe {RECIPE.name}, "
        f"{arguments.threads} threads, {timed} time, OMP_WAIT_POLICY {waiting}; "
        f"{host['cpu']}, load {host['load_1min']} before, {host['versions']}. "
        f"Command: `python {shlex.join(sys.argv)}`"
    )


if __name__ == "__main__":
    main()
