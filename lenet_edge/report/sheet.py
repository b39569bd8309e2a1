"""A sheet of images with a row for each class, as PNG; pixels stay pixels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lenet_edge.data.augmentation import amounts_for, augment
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.recipes import Recipe
from lenet_edge_exporters import atomic
from lenet_edge_runtime.printable import printable

Rows = Sequence[Sequence[NDArray[np.uint8]]]  # for each class its images, uint8 [c, h, w] each

SCALE = 3  # screen pixels a pixel
GAP, MARGIN = 6, 24
TYPE_SIZE = 20
PAPER, INK = (251, 250, 247), (30, 30, 28)
LONGEST_NAME = 24  # characters


def drawn_samples(data: ImageData, per_class: int, seed: int) -> list[list[NDArray[np.uint8]]]:
    """For each class, images of the training part drawn without repetition; fewer where there are fewer."""
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(data.train_labels == label) for label in range(len(data.labels))]
    return [list(data.train_pixels[generator.permutation(indices)[:per_class]]) for indices in members]


def draw_augmented(data: ImageData, recipe: Recipe, per_class: int, seed: int) -> list[list[NDArray[np.uint8]]]:
    """For each class one training image, padded as for the network, and `per_class` - 1 changes of it by training.

    Raises ValueError for a recipe that does not augment.
    """
    import torch

    amounts, padding = amounts_for(recipe, data.augmentation), recipe.padding
    if amounts is None:
        raise ValueError(f"{recipe.name} does not augment")

    generator = torch.Generator().manual_seed(seed)
    rows = []
    for (pixels,) in drawn_samples(data, 1, seed):
        repeated = torch.tensor(pixels).repeat(per_class - 1, 1, 1, 1)
        border = ((0, 0), (padding, padding), (padding, padding))
        changed = augment(repeated, padding, amounts, generator) if per_class > 1 else torch.empty(0)
        rows.append([np.pad(pixels, border), *changed.round().clamp(0, 255).to(torch.uint8).numpy()])
    return rows


def count_classes(data: ImageData) -> list[dict[str, Any]]:
    """How many training and test images each class has."""
    return [
        {
            "label": name,
            "train": int((data.train_labels == label).sum()),
            "test": int((data.test_labels == label).sum()),
        }
        for label, name in enumerate(data.labels)
    ]


def draw_sheet(rows: Rows, names: Sequence[str], path: Path) -> None:
    """Draw the rows, each behind its class's name; the same images give the same bytes."""
    font = _font()
    names = list(map(printable, names))  # what has no shape cannot be laid out
    shown = [name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…" for name in names]
    left = MARGIN + max(int(font.getlength(name)) for name in shown) + MARGIN // 2
    _, height, width = rows[0][0].shape
    across, down = width * SCALE + GAP, height * SCALE + GAP
    columns = max(map(len, rows))
    sheet = Image.new("RGB", (left + columns * across - GAP + MARGIN, 2 * MARGIN + len(rows) * down - GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, (name, images) in enumerate(zip(shown, rows, strict=True)):
        top = MARGIN + i * down
        draw.text((left - MARGIN // 2, top + (down - GAP) / 2), name, fill=INK, font=font, anchor="rm")
        for j, image in enumerate(images):
            sheet.paste(_enlarged(image), (left + j * across, top))
    with atomic.staged(path) as temporary:
        sheet.save(temporary, "PNG")


def _enlarged(image: NDArray[np.uint8]) -> Image.Image:
    pixels = image.transpose(1, 2, 0) if len(image) == 3 else np.repeat(image.transpose(1, 2, 0), 3, axis=2)
    return Image.fromarray(np.kron(pixels, np.ones((SCALE, SCALE, 1), np.uint8)))


def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings: it has Greek and Cyrillic letters too."""
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), TYPE_SIZE)
