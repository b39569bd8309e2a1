"""Training throughput beside the usual style: DataLoader, torchvision transforms image by image, an unfused optimizer.

    python benchmarks/training_speed.py

Same network (the tanh LeNet-5 of 61,706 parameters), batch size, optimizer and images, no augmentation, in one run,
interleaved; then what was tried beside our way, and how far all of it is from the machine's arithmetic.
"""

import argparse
import random
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from torch.utils.data import DataLoader

from lenet_edge.data.datasets import load_dataset
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.models import build_model, multiply_accumulates
from lenet_edge.networks.recipes import RECIPES
from lenet_edge.training.optimization import Optimizer
from lenet_edge.training.trainer import Trainer
from lenet_edge.training.training import start_record
from lenet_edge.training.watcher import Watcher
from lenet_edge_runtime.host import describe_host
from usual_trainings import PerImage

RECIPE = RECIPES["lenet5-classic-reported"]
USUAL_BATCHES, OUR_BATCHES = 60, 300  # a round of each contender: about two seconds
Contender = Callable[[], float]  # trains some batches; images a second


def per_image(data: ImageData) -> PerImage:
    """The training images in the usual style."""
    return PerImage(data.train_pixels, data.train_labels, data, RECIPE.padding)


def usual_style(data: ImageData, threads: int, workers: int) -> Contender:
    """The textbook's loop."""
    net = build_model(RECIPE.model)
    loader = DataLoader(per_image(data), RECIPE.batch_size, shuffle=True, num_workers=workers)
    optimizer = torch.optim.SGD(net.parameters(), lr=RECIPE.learning_rate, momentum=RECIPE.momentum)

    def train() -> float:
        torch.set_num_threads(threads)
        net.train()
        batches = iter(loader)
        next(batches)  # workers start here
        start = time.perf_counter()
        for images, labels in islice(batches, USUAL_BATCHES):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(images), labels)
            loss.backward()
            optimizer.step()
            loss.item()
        return USUAL_BATCHES * RECIPE.batch_size / (time.perf_counter() - start)

    return train


def ours(
    data: ImageData, threads: int, batch_size: int = RECIPE.batch_size, change: Callable[[Trainer], None] | None = None
) -> Contender:
    """`lenet-edge train`, its loop as it is; `change` alters what is tried."""
    recipe = replace(RECIPE, batch_size=batch_size)
    trainer = Trainer(start_record(recipe, data, device="cpu", threads=threads, epochs=1000), data)
    if change is not None:
        change(trainer)

    def train() -> float:
        torch.set_num_threads(threads)
        return trainer.train_epoch(Watcher()).images_per_second

    return train


def channels_last(trainer: Trainer) -> None:
    """Maps stored pixel by pixel."""
    trainer.net.to(memory_format=torch.channels_last)


def compiled(trainer: Trainer) -> None:
    """The network through torch.compile; compiled at the first batch, in the warm-up."""
    trainer.net.compile()


def unfused(trainer: Trainer) -> None:
    """The optimizer in several kernels a tensor."""
    trainer.optimizer = Optimizer(trainer.net, trainer.recipe, fused=False)


def contenders(data: ImageData, threads: int) -> dict[str, Contender]:
    """The two ways, and what was tried with ours."""
    # As many images as a round trains; Trainer holds one in twelve back for validation.
    few = subset(data, OUR_BATCHES * RECIPE.batch_size * 12 // 11 + 200)
    return {
        "usual style, no workers": usual_style(data, threads, workers=0),
        f"usual style, {threads} workers": usual_style(data, threads, workers=threads),
        "lenet-edge": ours(few, threads),
        "lenet-edge, 1 thread": ours(few, 1),
        "lenet-edge, batch 128": ours(few, threads, batch_size=128),
        "lenet-edge, batch 512": ours(few, threads, batch_size=512),
        "lenet-edge, optimizer not fused": ours(few, threads, change=unfused),
        "lenet-edge, channels last": ours(few, threads, change=channels_last),
        "lenet-edge, torch.compile": ours(few, threads, change=compiled),
    }


def subset(data: ImageData, count: int) -> ImageData:
    """The first images of the training part."""
    return replace(data, train_pixels=data.train_pixels[:count], train_labels=data.train_labels[:count])


def interleaved(ways: dict[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Images a second of each contender in each round, in shuffled order, after a round that does not count."""
    order, shuffle = list(ways), random.Random(0)
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        shuffle.shuffle(order)
        for name in order:
            speed = ways[name]()
            if number:
                speeds[name].append(speed)
    return speeds


def ratio(speeds: Sequence[float], baseline: Sequence[float]) -> tuple[float, float, float]:
    """Geometric mean of the rounds' ratios, with a 95 % t interval of their logarithms."""
    logs = np.log(np.array(speeds) / np.array(baseline))
    mean, error = logs.mean(), stats.sem(logs)
    low, high = stats.t.interval(0.95, len(logs) - 1, mean, error)
    return float(np.exp(mean)), float(np.exp(low)), float(np.exp(high))


def peak_flops(threads: int) -> float:
    """Floating-point operations a second in a large float32 matrix product, the best of ten."""
    torch.set_num_threads(threads)
    side = 2048
    a, b = torch.randn(side, side), torch.randn(side, side)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * side**3 / min(times)


def check_same_training(data: ImageData) -> None:
    """Both ways compute the same loss and gradients from the same weights and images; raises AssertionError."""
    data = subset(data, 700)  # with a mean and deviation of its own
    trainer = Trainer(start_record(RECIPE, data, device="cpu"), data)
    net = build_model(RECIPE.model)
    net.load_state_dict(trainer.net.state_dict())
    images = torch.stack([per_image(data)[index][0] for index in range(RECIPE.batch_size)])
    labels = torch.from_numpy(data.train_labels[: RECIPE.batch_size].copy())
    pixels = torch.from_numpy(data.train_pixels[: RECIPE.batch_size].copy())
    for network, logits in ((net, net(images)), (trainer.net, trainer.input(pixels))):
        network.zero_grad()
        F.cross_entropy(logits, labels).backward()
    for expected, found in zip(net.parameters(), trainer.net.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, atol=1e-5, rtol=1e-3)


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description="Training throughput beside the usual style, as a Markdown table.")
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    host = describe_host(("lenet-edge", "torch", "torchvision"))
    data = load_dataset(arguments.dataset, arguments.data_dir)
    net = build_model(RECIPE.model)
    speeds = interleaved(contenders(data, arguments.threads), arguments.rounds)
    check_same_training(data)
    print("\n".join(table(speeds, 6 * multiply_accumulates(net), peak_flops(arguments.threads))))
    print(
        f"\nImages a second, mean over {arguments.rounds} rounds, {data.name}, batch {RECIPE.batch_size} unless named, "
        f"{arguments.threads} threads unless named; {host['cpu']}, torch {torch.__version__}. "
        f"Command: `python {shlex.join(sys.argv)}`"
    )


def table(speeds: dict[str, list[float]], operations: int, peak: float) -> list[str]:
    """Rows of Markdown; the share of the peak counts forward and backward as three times the forward's operations."""
    baseline = max((values for name, values in speeds.items() if "usual" in name), key=statistics.mean)
    rows = [
        "| training loop | images/s | times the usual style (95 % interval) | share of peak arithmetic |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, values in speeds.items():
        mean, low, high = ratio(values, baseline)
        speed = statistics.mean(values)
        compared = "1" if values is baseline else f"{mean:.2f} ({low:.2f} to {high:.2f})"
        rows.append(f"| {name} | {speed:,.0f} | {compared} | {speed * operations / peak:.1%} |")
    return [*rows, "", f"The peak: {peak / 1e9:.0f} GFLOP/s in a float32 matrix product of 2048 x 2048."]


if __name__ == "__main__":
    main()
