"""The sheet of samples: real pixels in the right rows, the same for the same seed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from command_line import CommandLine
from lenet_edge.data.augmentation import augment
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.recipes import RECIPES
from lenet_edge.report.sheet import GAP, MARGIN, SCALE, draw_augmented, draw_sheet, drawn_samples


def cells(path: Path, rows: int, columns: int, side: int) -> np.ndarray:
    """The images of a sheet, uint8 [rows, columns, side, side], read back by where they stand from its right edge."""
    sheet = np.asarray(Image.open(path))
    step = side * SCALE + GAP
    left = sheet.shape[1] - MARGIN - columns * step + GAP
    return np.array(
        [
            [
                sheet[MARGIN + i * step :, left + j * step :, 0][: side * SCALE : SCALE, : side * SCALE : SCALE]
                for j in range(columns)
            ]
            for i in range(rows)
        ]
    )


def test_sheet_shows_training_images_of_each_class(cli: CommandLine, digits: ImageData) -> None:
    result = cli("samples", "digits", "--per-class", "4", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["path"] == "samples-digits.png"
    assert [row["train"] for row in document["classes"]] == np.bincount(digits.train_labels).tolist()
    assert [row["test"] for row in document["classes"]] == np.bincount(digits.test_labels).tolist()
    shown = cells(Path("samples-digits.png"), 10, 4, 28)
    for label in range(10):
        of_class = digits.train_pixels[digits.train_labels == label, 0]
        for image in shown[label]:
            assert (of_class == image).all(axis=(1, 2)).any()
        assert len({image.tobytes() for image in shown[label]}) == 4


def test_the_seed_decides(cli: CommandLine) -> None:
    for name, seed in (("a.png", "1"), ("b.png", "1"), ("c.png", "2")):
        assert cli("samples", "digits", "--seed", seed, "--out", name).exit_code == 0
    first, second, third = (Path(name).read_bytes() for name in ("a.png", "b.png", "c.png"))
    assert first == second != third


def test_augmented_shows_an_image_and_what_training_makes_of_it(cli: CommandLine, digits: ImageData) -> None:
    result = cli("samples", "digits", "--augmented", "--per-class", "5", "--seed", "3")
    assert result.exit_code == 0, result.output
    assert "1,198 training and 599 test images, 28 x 28, grey" in " ".join(result.stdout.split())
    shown = cells(Path("samples-digits-augmented.png"), 10, 5, 32)
    generator = torch.Generator().manual_seed(3)
    for label, row in enumerate(shown):
        original = row[0][2:-2, 2:-2]
        assert (digits.train_pixels[digits.train_labels == label, 0] == original).all(axis=(1, 2)).any()
        repeated = torch.tensor(original)[None, None].repeat(4, 1, 1, 1)
        expected = augment(repeated, 2, digits.augmentation, generator).round().to(torch.uint8)[:, 0].numpy()
        assert (row[1:] == expected).all()


def test_recipe_that_does_not_augment_is_refused(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    monkeypatch.setitem(RECIPES, "lenet5", replace(RECIPES["lenet5"], augment=False))
    result = cli("samples", "digits", "--augmented")
    assert result.exit_code == 2
    assert "does not augment" in result.stderr


def test_few_images_long_names_and_colour(tmp_path: Path, digits: ImageData) -> None:
    """A class of two images gives two; names of any length and script are drawn."""
    assert [len(row) for row in drawn_samples(digits, 10_000, 0)] == np.bincount(digits.train_labels).tolist()
    assert [len(row) for row in draw_augmented(digits, RECIPES["lenet5"], 1, 0)] == [1] * 10
    red = np.zeros((3, 28, 28), np.uint8)
    red[0] = 255
    draw_sheet([[red, red], [red]], ["x" * 200, "\u5b57 \u0416"], tmp_path / "sheet.png")
    image = Image.open(tmp_path / "sheet.png")
    assert image.width < 28 * SCALE * 2 + 24 * 24
    assert image.getpixel((image.width - MARGIN - 2, MARGIN + 2)) == (255, 0, 0)


def test_unknown_data(cli: CommandLine) -> None:
    assert "choose mnist, fashion-mnist, kmnist, digits" in cli.fails("samples", "minst")
