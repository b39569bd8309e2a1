"""Photographed paper: grounds against SciPy's morphology, digits in the shade against the same digits in even light."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from image_variants import on_page
from lenet_edge.data.image_data import ImageData
from lenet_edge_runtime.fitting import fit_image
from lenet_edge_runtime.paper import _ground, inner_box, is_dark_on_light, is_rim
from specs import GREY_SPEC

SPEC = replace(GREY_SPEC, fit="mnist")
RNG = np.random.default_rng(11)


@pytest.mark.parametrize("shape", [(60, 61), (84, 200), (131, 90)])
def test_ground_is_an_opening_or_a_closing(shape: tuple[int, int]) -> None:
    page = RNG.integers(0, 256, shape, np.uint8)
    size = 2 * (min(shape) // 6) + 1
    opened = ndimage.maximum_filter(ndimage.minimum_filter(page, size, mode="nearest"), size, mode="nearest")
    closed = ndimage.minimum_filter(ndimage.maximum_filter(page, size, mode="nearest"), size, mode="nearest")
    np.testing.assert_array_equal(_ground(page, "light", 3), opened)
    np.testing.assert_array_equal(_ground(page, "dark", 3), closed)


def paper(digits: ImageData, number: int) -> np.ndarray:
    """Dark ink on bright paper, 160 x 200."""
    ink = np.asarray(on_page(digits.test_pixels[number, 0], 100, (160, 200), (30, 60)), np.float64) / 255
    return 220 - 170 * ink


def shaded(page: np.ndarray) -> np.ndarray:
    return page * np.where(np.arange(page.shape[1]) < 55, 0.5, 1)


def beside_a_table(page: np.ndarray) -> np.ndarray:
    page = page.copy()
    page[:, :9] = page[-14:] = 50
    return page


def framed(page: np.ndarray) -> np.ndarray:
    return np.pad(page, 6, constant_values=10)


@pytest.mark.parametrize("polarity", ["dark ink", "light ink"])
@pytest.mark.parametrize("change", [shaded, beside_a_table, framed], ids=lambda change: change.__name__)
def test_light_and_what_lies_around_do_not_matter(digits: ImageData, change: object, polarity: str) -> None:
    for number in range(10):
        page = paper(digits, number)
        even, changed = (
            Image.fromarray((values if polarity == "dark ink" else 255 - values).astype(np.uint8))
            for values in (page, change(page))
        )
        expected, found = fit_image(even, SPEC), fit_image(changed, SPEC)
        assert expected.inverted == found.inverted == (polarity == "dark ink")
        difference = np.abs(found.pixels.astype(int) - expected.pixels).mean()
        assert difference < 12, number


def test_bars_of_a_digit_that_touch_the_border_are_no_strips() -> None:
    seven = np.full((120, 90), 255, np.uint8)
    seven[:14] = 0
    seven[:, 60:75] = 0
    page = Image.fromarray(seven)
    assert inner_box(page) == (0, 0, *page.size)


def askew(page: np.ndarray) -> np.ndarray:
    """A dark table in a wedge at the left."""
    page = page.copy()
    rows, columns = np.mgrid[: page.shape[0], : page.shape[1]]
    page[columns < 4 + rows // 14] = 50
    return page


def shaded_in_a_corner(page: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[: page.shape[0], : page.shape[1]]
    return page * np.where(rows + columns < 0.6 * page.shape[0], 0.4, 1)


@pytest.mark.parametrize("change", [askew, shaded_in_a_corner], ids=lambda change: change.__name__)
def test_what_lies_along_the_border_is_no_ink(digits: ImageData, change: object) -> None:
    for number in range(10):
        page = paper(digits, number)
        even, changed = (Image.fromarray(values.astype(np.uint8)) for values in (page, change(page)))
        difference = np.abs(fit_image(even, SPEC).pixels.astype(int) - fit_image(changed, SPEC).pixels).mean()
        assert difference < 20, number  # what lies there, taken for ink, makes it 30 to 60


@pytest.mark.parametrize("turns", range(4))
def test_ink_that_lies_along_the_border_is_left_where_it_is_all_there_is(turns: int) -> None:
    ink = np.zeros((120, 120), bool)
    ink[:, 0:8] = True  # a one, cut close
    assert not is_rim(np.rot90(ink, turns)).any()
    ink[50:54, 60:64] = True  # a speck is no other ink
    assert not is_rim(np.rot90(ink, turns)).any()
    ink[40:80, 60:70] = True
    expected = np.zeros((120, 120), bool)
    expected[:, 0:8] = True
    np.testing.assert_array_equal(is_rim(np.rot90(ink, turns)), np.rot90(expected, turns))


def test_ink_that_touches_the_border_at_a_place_stays() -> None:
    """A four whose stroke runs out of the picture, beside something else."""
    ink = np.zeros((160, 120), bool)
    ink[20:160, 50:58] = True
    ink[90:98, 10:80] = True
    ink[10:40, 90:110] = True
    assert not is_rim(ink).any()


def test_ink_is_told_from_the_ground_where_that_is_clear(digits: ImageData) -> None:
    page = shaded(paper(digits, 0)).astype(np.uint8)
    assert is_dark_on_light(page) is True
    assert is_dark_on_light(255 - page) is False
    assert is_dark_on_light(RNG.normal(120, 9, (120, 120)).astype(np.uint8)) is None
