"""The picture of a training: its axes, and that it shows what it is given."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageColor

from lenet_edge.runs.history import Epoch
from lenet_edge.training.curves import HEIGHT, VALIDATION, WIDTH, Panel, draw_curves, ticks


def history(epochs: int) -> list[Epoch]:
    return [Epoch(n, 0.1, 1 / n, 1 - 0.1 / n, 0.8 / n, 1 - 0.05 / n, 1.0, 1.0) for n in range(1, epochs + 1)]


@given(low=st.floats(0, 1), span=st.floats(1e-4, 1e4))
def test_ticks_are_few_and_even_and_within(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert 1 <= len(found) <= 8
    assert low - 1e-6 <= found[0]
    assert found[-1] <= low + span + 1e-6
    assert np.ptp(np.diff(found)) < 1e-6 * span if len(found) > 2 else True


def test_ticks_of_usual_axes() -> None:
    assert ticks(0, 0.31) == [0, 0.1, 0.2, 0.3]
    assert ticks(0.983, 1) == [0.985, 0.99, 0.995, 1]
    assert ticks(0, 40) == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("epochs", [1, 2, 40])
def test_curves_show_the_validation_loss_where_it_lies(epochs: int, tmp_path: Path) -> None:
    rows = history(epochs)
    draw_curves(rows, "a training", tmp_path / "curves.png")
    pixels = np.asarray(Image.open(tmp_path / "curves.png"))
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    panel = Panel(80, WIDTH // 2 - 40, 0, 1.05, epochs)
    blue = np.abs(pixels.astype(int) - ImageColor.getrgb(VALIDATION)).sum(2) < 60
    for row in (rows[0], rows[-1]):
        x, y = (round(value) for value in panel.at(row.epoch, row.val_loss))
        assert blue[y - 2 : y + 3, x - 2 : x + 3].any()


def test_same_history_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.png", "other.png"):
        draw_curves(history(3), "a training", tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()
