"""The curves of a training as a PNG, drawn by Pillow: importing and using matplotlib takes 0.8 s, this 0.06."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from lenet_edge.runs.history import Epoch
from lenet_edge_exporters import atomic

WIDTH, HEIGHT = 1200, 480
LARGER = 2  # times as large as it is kept, so that lines come out smooth
TRAINING, VALIDATION, INK, GRID = "#8a8a8a", "#0b62a4", "#222222", "#dddddd"


@dataclass(frozen=True)
class Panel:
    """Axes from `left` to `right`, pixels, and from `low` to `high` upwards."""

    left: int
    right: int
    low: float
    high: float
    epochs: int
    top: int = 60
    bottom: int = HEIGHT - 60

    def at(self, epoch: float, value: float) -> tuple[float, float]:
        """Where a value of an epoch lies, in pixels."""
        x = (epoch - 1) / (self.epochs - 1) if self.epochs > 1 else 0.5
        y = (value - self.low) / (self.high - self.low)
        return self.left + x * (self.right - self.left), self.bottom - y * (self.bottom - self.top)


def draw_curves(history: Sequence[Epoch], title: str, path: Path) -> None:
    """Draw loss and accuracy against epochs, training and validation, as a PNG of 1200 x 480; the same bytes again."""
    image = Image.new("RGB", (WIDTH * LARGER, HEIGHT * LARGER), "white")
    pen = ImageDraw.Draw(image)
    _write(pen, (80, 12), title, "lt", 17)
    losses = [row.train_loss for row in history], [row.val_loss for row in history]
    accuracies = [row.train_accuracy for row in history], [row.val_accuracy for row in history]
    # The first epochs would flatten everything that happens later.
    settled = min(min(values[len(history) // 5 :]) for values in accuracies)
    low = min(0.99, max(0.0, settled - (1 - settled) * 0.3))
    high = max(max(losses[0]), max(losses[1]), 1e-6) * 1.05
    _draw(pen, Panel(80, WIDTH // 2 - 40, 0, high, len(history)), "Cross-entropy", losses, "{:g}".format)
    _draw(pen, Panel(WIDTH // 2 + 60, WIDTH - 40, low, 1, len(history)), "Accuracy", accuracies, _percent)
    with atomic.staged(path) as temporary:
        image.reduce(LARGER).save(temporary, "PNG", optimize=True)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values from `low` to `high`: 1, 2 or 5 times a power of ten apart, `most` steps at most."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(power * times for times in (1, 2, 5, 10) if (high - low) / (power * times) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _draw(
    pen: ImageDraw.ImageDraw,
    panel: Panel,
    name: str,
    values: tuple[Sequence[float], Sequence[float]],
    shown: Callable[[float], str],
) -> None:
    for value in ticks(panel.low, panel.high):
        _, y = panel.at(1, value)
        _line(pen, [(panel.left, y), (panel.right, y)], GRID, 1)
        _write(pen, (panel.left - 8, y), shown(value), "rm", 14)
    for epoch in sorted({max(1, round(tick)) for tick in ticks(0, panel.epochs)}):
        _write(pen, (panel.at(epoch, 0)[0], panel.bottom + 10), str(epoch), "mt", 14)
    _line(pen, [(panel.left, panel.top), (panel.left, panel.bottom), (panel.right, panel.bottom)], INK, 1)
    for row, (line, colour, label) in enumerate(
        zip(values, (TRAINING, VALIDATION), ("training (as optimised)", "validation"), strict=True)
    ):
        points = [panel.at(epoch, value) for epoch, value in enumerate(line, start=1) if value >= panel.low]
        _line(pen, points, colour, 2)
        _write(pen, (panel.right, panel.top - 28 + 16 * row), label, "rm", 14, colour)
    _write(pen, ((panel.left + panel.right) / 2, HEIGHT - 30), "Epoch", "mt", 14)
    _write(pen, (panel.left, panel.top - 12), name, "lb", 15)


def _line(pen: ImageDraw.ImageDraw, points: list[tuple[float, float]], colour: str, width: int) -> None:
    larger = [(x * LARGER, y * LARGER) for x, y in points]
    pen.line(larger, colour, width * LARGER, joint="curve")
    if len(larger) == 1:  # a line of one epoch
        pen.circle(larger[0], 3 * LARGER, colour)


def _write(
    pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, anchor: str, size: int, colour: str = INK
) -> None:
    font = ImageFont.load_default(size * LARGER)
    pen.text((place[0] * LARGER, place[1] * LARGER), text, colour, font, anchor)


def _percent(share: float) -> str:
    return f"{100 * share:g}%"
