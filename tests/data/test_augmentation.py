"""Augmentation by the batch, against PIL and against plain arithmetic."""

import numpy as np
import pytest
import torch
from PIL import Image

from lenet_edge.data.augmentation import Augmentation, _grid, augment

NOTHING = Augmentation(rotation_degrees=0, scale=0, shear=0, shift_pixels=0)


@pytest.fixture
def pixels(digits) -> torch.Tensor:
    return torch.from_numpy(digits.train_pixels[:64].copy())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_no_change_is_padding_alone(pixels: torch.Tensor) -> None:
    expected = torch.nn.functional.pad(pixels.float(), (2, 2, 2, 2))
    torch.testing.assert_close(augment(pixels, 2, NOTHING, generator()), expected, atol=1e-3, rtol=0)


def test_flip_mirrors_about_half_of_the_images(pixels: torch.Tensor) -> None:
    flipped = augment(pixels, 0, Augmentation(0, 0, 0, 0, flip=True), generator())
    same = (flipped - pixels).abs().amax((1, 2, 3)) < 1e-3
    mirrored = (flipped - pixels.flip(-1)).abs().amax((1, 2, 3)) < 1e-3
    assert bool((same | mirrored).all())
    assert 16 <= int(mirrored.sum()) <= 48


def test_vertical_flip_turns_about_half_upside_down(pixels: torch.Tensor) -> None:
    flipped = augment(pixels, 0, Augmentation(0, 0, 0, 0, vertical_flip=True), generator())
    same = (flipped - pixels).abs().amax((1, 2, 3)) < 1e-3
    turned = (flipped - pixels.flip(-2)).abs().amax((1, 2, 3)) < 1e-3
    assert bool((same | turned).all())
    assert 16 <= int(turned.sum()) <= 48


def test_jitter_scales_contrast_and_brightness(pixels: torch.Tensor) -> None:
    """Each image is an affine function of its own grey values, of a slope and a height within the amounts."""
    varied = augment(pixels, 0, Augmentation(0, 0, 0, 0, jitter=0.2), generator()).flatten(1).double().numpy()
    plain = pixels.flatten(1).double().numpy()
    slopes = []
    for before, after in zip(plain, varied, strict=True):
        inside = (after > 0.5) & (after < 254.5)  # not clipped
        slope, height = np.polyfit(before[inside], after[inside], 1)
        np.testing.assert_allclose(after[inside], slope * before[inside] + height, atol=0.05)
        mean = before.mean()
        assert 0.8 - 1e-3 <= (slope * mean + height) / mean <= 1.2 + 1e-3
        slopes.append(slope)
    assert 0.64 <= min(slopes) < 0.9
    assert 1.1 < max(slopes) <= 1.44


def test_a_veil_lightens_the_ground_and_takes_contrast() -> None:
    """What black and white become says how dense the veil is and how bright; a plain image is behind it as a whole."""
    amounts, n = Augmentation(0, 0, 0, 0, veil=0.25), 4000
    dark, light = (
        augment(torch.full((n, 1, 20, 20), grey, dtype=torch.uint8), 3, amounts, generator())[:, 0].double()
        for grey in (0, 255)
    )
    border = torch.ones(26, 26, dtype=torch.bool)
    border[3:-3, 3:-3] = False
    assert float(dark[:, border].abs().max()) == 0  # what the network pads stays black
    ground, contrast = dark[:, 3:-3, 3:-3].flatten(1), (light - dark)[:, 3:-3, 3:-3].flatten(1)
    assert max(float((part.amax(1) - part.amin(1)).max()) for part in (ground, contrast)) < 0.01
    density = 1 - contrast[:, 0] / 255
    veiled = density > 1e-6
    assert float(veiled.double().mean()) == pytest.approx(0.25, abs=0.03)
    assert float(ground[~veiled].abs().max()) == 0
    assert 0.75 < float(density.max()) <= 0.8 + 1e-6
    greys = ground[veiled, 0] / density[veiled]
    assert float(greys.mean()) == pytest.approx(127.5, abs=10)
    assert 240 < float(greys.max()) < 256


def test_whole_pixels_shift_a_share_of_the_images_and_blur_none_of_it(pixels: torch.Tensor) -> None:
    """The share are copies of the image, mirrored or not, in one of nine places; the others are none, and all move."""
    amounts = Augmentation(rotation_degrees=7, scale=0.07, shear=0.1, shift_pixels=1.4, flip=True, whole_pixels=0.5)
    image, n = pixels[:1], 4000
    changed = augment(image.expand(n, -1, -1, -1), 2, amounts, generator())
    places = [
        torch.nn.functional.pad(way.float(), (2 + x, 2 - x, 2 + y, 2 - y))
        for way in (image, image.flip(-1))
        for x in (-1, 0, 1)
        for y in (-1, 0, 1)
    ]
    found = torch.stack([(changed - place).abs().amax((1, 2, 3)) < 0.05 for place in places])
    assert int(found.sum(0).max()) == 1
    assert float(found.any(0).float().mean()) == pytest.approx(0.5, abs=0.03)
    assert int(found.sum(1).min()) > n * 0.5 / 18 * 0.6


def test_shift_stays_within_its_amount() -> None:
    """The centre of mass of a dot moves by at most the amount, in both directions and both ways."""
    dots = torch.zeros(500, 1, 28, 28, dtype=torch.uint8)
    dots[:, :, 14, 14] = 255
    moved = augment(dots, 0, Augmentation(0, 0, 0, shift_pixels=3), generator())[:, 0]
    mass = moved.sum((1, 2))
    grid = torch.arange(28.0)
    for axis in (1, 2):
        centre = (moved.sum(3 - axis) * grid).sum(1) / mass - 14
        assert float(centre.abs().max()) <= 3.01
        assert float(centre.min()) < -2
        assert float(centre.max()) > 2


def test_rotation_equals_pils(digits) -> None:
    """One image, many angles: each output is close to PIL's rotation by some angle within the amount."""
    image = digits.train_pixels[0, 0]
    batch = torch.from_numpy(np.broadcast_to(image, (8, 1, 28, 28)).copy())
    turned = augment(batch, 0, Augmentation(30, 0, 0, 0), generator(1))[:, 0].numpy()
    candidates = np.stack(
        [
            np.asarray(Image.fromarray(image).rotate(angle, Image.Resampling.BILINEAR), np.float64)
            for angle in np.arange(-30, 30.5, 0.5)
        ]
    )
    for found in turned:
        assert np.abs(candidates - found).mean(axis=(1, 2)).min() < 1.5  # of 255


def test_same_seed_same_images(pixels: torch.Tensor, digits) -> None:
    first = augment(pixels, 2, digits.augmentation, generator(7))
    assert torch.equal(first, augment(pixels, 2, digits.augmentation, generator(7)))
    assert not torch.equal(first, augment(pixels, 2, digits.augmentation, generator(8)))


@pytest.mark.parametrize("size", [(32, 32), (30, 28), (96, 96)])
def test_grid_is_that_of_torch(size: tuple[int, int]) -> None:
    theta = torch.randn(5, 2, 3, generator=generator())
    expected = torch.nn.functional.affine_grid(theta, [5, 1, *size], align_corners=False)
    torch.testing.assert_close(_grid(theta, *size), expected, atol=1e-6, rtol=0)
