"""The kinds of MNIST-C against their definitions: moments of noise, scipy's transforms, known shapes."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from lenet_edge.data.corruptions import KINDS, corrupted
from lenet_edge.data.corruptions.blurs import glass_blur, motion_blur
from lenet_edge.data.corruptions.edges import canny_edges
from lenet_edge.data.corruptions.levels import Levels
from lenet_edge.data.corruptions.noise import brightness, impulse_noise, shot_noise, stripe
from lenet_edge.data.corruptions.overlays import dotted_line, fog, spatter, zigzag
from lenet_edge.data.corruptions.warps import rotate, scale, shear, translate
from lenet_edge.data.image_data import ImageData
from lenet_edge_runtime.errors import DataError


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.fixture(scope="module")
def pixels(digits: ImageData) -> NDArray[np.uint8]:
    return digits.test_pixels[:24]


@pytest.fixture(scope="module")
def levels(pixels: NDArray[np.uint8]) -> Levels:
    return pixels[:, 0].astype(np.float32) / 255


def flat(level: float, count: int = 40) -> Levels:
    return np.full((count, 28, 28), level, np.float32)


def test_there_are_the_fifteen_of_the_paper() -> None:
    assert len(KINDS) == 15


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_bytes_and_another_image_each(kind: str, pixels: NDArray[np.uint8]) -> None:
    found = corrupted(pixels, kind)
    assert (found.shape, found.dtype) == (pixels.shape, np.uint8)
    np.testing.assert_array_equal(found, corrupted(pixels.copy(), kind))
    changed = (found != pixels).any(axis=(1, 2, 3))
    assert changed.all()
    is_drawn = kind not in ("scale", "brightness", "stripe", "canny edges")
    assert (found != corrupted(pixels, kind, seed=1)).any() == is_drawn
    assert corrupted(pixels[:0], kind).shape == (0, 1, 28, 28)


@pytest.mark.parametrize("kind", KINDS)
def test_images_given_are_left_as_they_are(kind: str, levels: Levels, generator: np.random.Generator) -> None:
    before = levels.copy()
    assert KINDS[kind](levels, generator).dtype == np.float32
    np.testing.assert_array_equal(levels, before)


@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (2, 1, 32, 32)])
def test_other_images_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"defined for grey images of 28 x 28, these are .* leave out --corruptions"):
        corrupted(np.zeros(shape, np.uint8), "fog")


def test_nothing_is_done_at_zero_severity(levels: Levels, generator: np.random.Generator) -> None:
    for done in (
        impulse_noise(levels, generator, share=0),
        brightness(levels, generator, added=0),
        stripe(levels, generator, columns=0),
        glass_blur(levels, generator, sigma=0, rounds=0),
        motion_blur(levels, generator, sigma=0),
        shear(levels, generator, slope=0),
        rotate(levels, generator, radians=0),
        scale(levels, generator, factor=1),
        translate(levels, generator, pixels=0),
        spatter(levels, generator, level=9),
        fog(levels, generator, amount=0),
    ):
        np.testing.assert_allclose(done, levels, atol=1e-6)


def test_shot_noise_has_the_moments_of_a_poisson_variable(generator: np.random.Generator) -> None:
    found = shot_noise(flat(0.5), generator)
    assert found.mean() == pytest.approx(0.5, abs=0.01)
    assert found.var() == pytest.approx(0.5 / 3, rel=0.05)  # of Poisson(1.5) / 3
    assert not shot_noise(flat(0), generator).any()


def test_impulse_noise_is_half_salt_half_pepper(generator: np.random.Generator) -> None:
    found = impulse_noise(flat(0.5), generator)
    shares = [(found == level).mean() for level in (0, 0.5, 1)]
    assert shares == pytest.approx([0.085, 0.83, 0.085], abs=0.01)


def test_stripes_are_inverted_columns(levels: Levels, generator: np.random.Generator) -> None:
    found = stripe(levels, generator)
    np.testing.assert_array_equal(found[:, :, 7:21], levels[:, :, 7:21])
    np.testing.assert_allclose(found + levels, 1 - (np.abs(np.arange(28) - 13.5) < 7) * (1 - 2 * levels), atol=1e-6)


def test_glass_moves_pixels_and_makes_none(levels: Levels, generator: np.random.Generator) -> None:
    found = glass_blur(levels, generator, sigma=0)
    np.testing.assert_array_equal(np.sort(found.reshape(24, -1)), np.sort(levels.reshape(24, -1)))
    assert (found != levels).any(axis=(1, 2)).all()


def test_motion_leaves_a_trail_to_one_side(generator: np.random.Generator) -> None:
    point = flat(0, 1)
    point[0, 14, 25] = 1
    trail = motion_blur(point, generator, degrees=0)[0]
    gaussian = np.exp(-(np.arange(21) ** 2) / 18)
    np.testing.assert_allclose(trail[14, 25:4:-1], gaussian / gaussian.sum(), rtol=1e-5)
    assert trail.sum() == pytest.approx(1)


def test_warps_are_scipys(levels: Levels, generator: np.random.Generator) -> None:
    turned = rotate(levels, generator)
    shrunk = scale(levels, generator)
    moved = translate(levels, generator)
    for image, found in zip(levels, turned, strict=True):
        either = [
            ndimage.rotate(image, sign * np.degrees(0.4), reshape=False, order=1, mode="grid-constant")
            for sign in (-1, 1)
        ]
        assert min(np.abs(found - wanted).max() for wanted in either) < 1e-5
    places = 13.5 + (np.arange(28) - 13.5) / 0.7
    rows, columns = np.meshgrid(places, places, indexing="ij")
    wanted = ndimage.map_coordinates(levels[3], [rows, columns], order=1, mode="grid-constant")
    np.testing.assert_allclose(shrunk[3], wanted, atol=1e-5)
    for image, found in zip(levels, moved, strict=True):
        padded = np.pad(image, 3)
        assert any((padded[y : y + 28, x : x + 28] == found).all() for y in (0, 6) for x in (0, 6))


def test_shear_moves_each_row_by_its_distance_from_the_middle(generator: np.random.Generator) -> None:
    bar = flat(0, 8)
    bar[:, :, 12:16] = 1
    centres = (shear(bar, generator) * np.arange(28)).sum(2) / 4
    for found in centres:
        slope = np.polyfit(np.arange(28), found, 1)[0]
        assert abs(slope) == pytest.approx(0.4, abs=1e-4)
        assert found.mean() == pytest.approx(13.5, abs=1e-4)


def test_fog_is_smooth_and_no_brighter_than_the_image(levels: Levels, generator: np.random.Generator) -> None:
    black = flat(0, 20)
    black[:, 0, 0] = 0.8  # by which the whole is scaled
    found = fog(black, generator)
    assert (found >= 0).all()
    assert (found[:, 1:] <= 0.8).all()
    clouds = found[:, 1:] - found[:, 1:].mean(axis=(1, 2), keepdims=True)
    assert np.abs(np.diff(clouds)).mean() < 0.3 * np.abs(clouds).mean()  # of noise it is sqrt(2)
    assert fog(levels, generator).mean() > levels.mean()


def test_mud_covers(generator: np.random.Generator) -> None:
    found = spatter(flat(1), generator)
    assert set(np.unique(found >= 0.99)) == {False, True}
    assert found.min() == pytest.approx(63 / 255, abs=1e-3)
    assert not ((found > 0.41) & (found < 0.99)).any()  # mud is at least 0.8 thick, or none: 1 - 0.8 * 192 / 255


def test_lines_are_where_they_belong(generator: np.random.Generator) -> None:
    dotted, teeth = dotted_line(flat(0), generator), zigzag(flat(0), generator)
    there = dotted.max(axis=1) > 0.5
    np.testing.assert_array_equal(there, np.broadcast_to(np.arange(28) // 2 % 2 == 1, there.shape))
    rows = np.arange(28)[:, None]
    middles = (dotted * rows).sum(1) / np.maximum(dotted.sum(1), 1e-9)
    inside = (middles > 2) & (middles < 25)
    for found, dashes in zip(middles, there & inside, strict=True):
        columns = np.flatnonzero(dashes)
        if len(columns) < 4:
            continue
        straight = np.polyval(np.polyfit(columns, found[columns], 1), columns)
        assert np.abs(found[columns] - straight).max() < 0.35
    assert not teeth[:, :, [0, 1, 26, 27]].any()
    middle = (teeth * rows).sum(1)[:, 2:24] / np.maximum(teeth.sum(1)[:, 2:24], 1e-9)
    swing = np.ptp(middle, axis=1)[((middle > 4) & (middle < 23)).all(axis=1)]  # of those that stay in the image
    assert len(swing) > 9
    assert ((swing > 2.5) & (swing < 9)).all()  # 4 of the teeth, and up to 5 of the slope


def test_canny_finds_the_outline_of_a_square(generator: np.random.Generator) -> None:
    square = flat(0, 2)
    square[:, 8:20, 8:20] = 1
    square[1] *= 0.1  # too faint: its slope is below both limits
    found = canny_edges(square, generator)
    lines, count = ndimage.label(found[0], np.ones((3, 3)))
    assert count == 1
    outside, inside = ndimage.binary_dilation(square[0]), ndimage.binary_erosion(square[0], iterations=2)
    assert not (found[0].astype(bool) & (~outside | inside)).any()
    assert ndimage.label(lines == 0)[1] == 2  # the line is closed
    assert not found[1].any()
