"""Pictures cut into digits: connected ink against scipy's, boxes and order against where the digits were put."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps
from scipy import ndimage

from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.run import Run
from lenet_edge_runtime import Classifier
from lenet_edge_runtime.components import find_components
from lenet_edge_runtime.errors import ArgumentError, ImageError
from lenet_edge_runtime.fitting import LONGEST, fit_image
from lenet_edge_runtime.splitting import split_image
from specs import GREY_SPEC
from trained_runs import exported

MNIST_SPEC = replace(GREY_SPEC, fit="mnist")
Box = tuple[int, int, int, int]


def inked(size: tuple[int, int], *shapes: Box) -> Image.Image:
    """White rectangles on black: the first pixels in and out, as boxes have them."""
    page = Image.new("L", size)
    for left, top, right, bottom in shapes:
        page.paste(255, (left, top, right, bottom))
    return page


def boxes(page: Image.Image) -> list[Box]:
    return [piece.box for piece in split_image(page, MNIST_SPEC)]


def near(found: list[Box], wanted: list[Box]) -> bool:
    """To the pixel by which a page of 84 pixels or more is averaged."""
    return len(found) == len(wanted) and bool((np.abs(np.array(found) - wanted) <= 1).all())


def written(digits: ImageData, numbers: list[int], places: list[tuple[int, int]], size: tuple[int, int]) -> Image.Image:
    """Test images, three times as large, their black background left out."""
    page = np.zeros(size[::-1], np.uint8)
    for number, (left, top) in zip(numbers, places, strict=True):
        digit = Image.fromarray(digits.test_pixels[number, 0]).resize((84, 84), Image.Resampling.BICUBIC)
        np.maximum(
            page[top : top + 84, left : left + 84], np.asarray(digit), out=page[top : top + 84, left : left + 84]
        )
    return Image.fromarray(page)


@pytest.mark.parametrize("seed", range(20))
def test_components_are_scipys(seed: int) -> None:
    generator = np.random.default_rng(seed)
    mask = generator.random(generator.integers(1, 40, 2)) < generator.random()
    found = find_components(mask)
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    assert len(found.boxes) == count == len(set(zip(labels[mask], found.labels[mask], strict=True)))
    np.testing.assert_array_equal(found.labels > 0, mask)
    for box, (rows, columns) in zip(found.boxes, ndimage.find_objects(found.labels), strict=True):
        assert tuple(box) == (columns.start, rows.start, columns.stop, rows.stop)


def test_lines_are_read_from_the_top_and_each_from_the_left() -> None:
    upper, lower = [(10, 20, 25, 60), (60, 10, 90, 50), (110, 24, 130, 62)], [(30, 80, 60, 118), (80, 74, 100, 112)]
    assert near(boxes(inked((160, 130), *upper[::-1], *lower)), [*upper, *lower])


def test_a_line_may_slope() -> None:
    slope = [(10 + 40 * i, 10 + 14 * i, 35 + 40 * i, 50 + 14 * i) for i in range(5)]
    assert near(boxes(inked((230, 130), *slope)), slope)


def test_parts_of_a_digit_are_put_together() -> None:
    """A bar above a bowl, a stroke that broke, and two halves one below the other."""
    five = [(20, 10, 40, 14), (18, 18, 22, 40), (22, 36, 42, 60)]
    halves = [(70, 12, 90, 34), (70, 37, 92, 60)]
    assert boxes(inked((120, 70), *halves)) == [(70, 12, 92, 60)]
    assert boxes(inked((120, 70), *five, *halves)) == [(18, 10, 42, 60), (70, 12, 92, 60)]


def test_a_bar_far_aside_belongs_to_the_bowl_below_it() -> None:
    bowl, bar, neighbour = (10, 17, 30, 60), (24, 10, 50, 15), (60, 12, 80, 60)
    assert boxes(inked((100, 70), bowl, bar, neighbour)) == [(10, 10, 50, 60), neighbour]


def test_neighbours_that_overhang_stay_apart() -> None:
    page = Image.new("L", (120, 70))
    for left in (10, 26, 42):
        ImageDraw.Draw(page).line([(left, 60), (left + 28, 10)], 255, 3)
    found = boxes(page)
    assert len(found) == 3
    assert found[0][2] > found[1][0] + 8


def test_specks_points_and_dashes_are_no_digits() -> None:
    digits = [(10, 10, 30, 60), (60, 10, 80, 60)]
    assert boxes(inked((100, 70), *digits, (40, 54, 46, 60), (34, 34, 54, 38), (4, 4, 6, 6))) == digits


@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_page_without_ink_has_no_digits(level: int) -> None:
    assert split_image(Image.new("L", (90, 60), level), MNIST_SPEC) == []


def test_boxes_are_the_pictures_whatever_was_cut_off_and_scaled_down() -> None:
    digits = [(400, 600, 700, 1400), (1100, 500, 1500, 1300), (1900, 700, 2300, 1500)]
    page = ImageOps.invert(inked((3000, 2000), *digits))
    page.paste(60, (0, 0, 120, 2000))  # a table's edge
    found = boxes(page)
    assert len(found) == 3
    assert np.abs(np.array(found) - digits).max() <= 3000 // LONGEST * 2  # the page is averaged, and scaled down
    assert all(piece.fitted.inverted for piece in split_image(page, MNIST_SPEC))


@pytest.mark.parametrize("dark_ink", [False, True])
def test_each_digit_is_fitted_as_it_is_alone(digits: ImageData, dark_ink: bool) -> None:
    places = [(5, 8), (90, 4), (170, 12)]
    page = written(digits, [3, 7, 11], places, (260, 110))
    pieces = split_image(ImageOps.invert(page) if dark_ink else page, MNIST_SPEC)
    assert len(pieces) == 3
    for number, place, piece in zip([3, 7, 11], places, pieces, strict=True):
        alone = fit_image(written(digits, [number], [place], page.size), MNIST_SPEC)
        assert piece.fitted.inverted is dark_ink
        assert np.abs(piece.fitted.pixels.astype(int) - alone.pixels).mean() < 2


def test_ink_of_a_neighbour_is_left_out() -> None:
    arm, foot = [(60, 14), (60, 10), (10, 10), (10, 70)], [(48, 24), (48, 70), (80, 70)]
    page, alone = Image.new("L", (100, 80)), [Image.new("L", (100, 80)) for _ in range(2)]
    for line, own in zip((arm, foot), alone, strict=True):
        for image in (page, own):
            ImageDraw.Draw(image).line(line, 255, 4)
    found = split_image(page, MNIST_SPEC)
    assert found[0].box[2] > found[1].box[0]
    for piece, image in zip(found, alone, strict=True):
        (wanted,) = split_image(image, MNIST_SPEC)
        assert piece.box == wanted.box
        np.testing.assert_array_equal(piece.fitted.pixels, wanted.fitted.pixels)


def test_polarity_is_that_of_the_training_images() -> None:
    page = inked((100, 80), (10, 10, 30, 70), (60, 10, 80, 70))
    for polarity, image, dark in (
        ("dark-on-light", page, True),
        ("dark-on-light", ImageOps.invert(page), True),
        ("any", page, False),
        ("any", ImageOps.invert(page), True),
    ):
        spec = replace(GREY_SPEC, polarity=polarity)
        for piece in split_image(image, spec):
            assert (piece.fitted.pixels[0, 0, 0] > 127) is np.bool_(dark)
            assert (piece.fitted.pixels[0, 14, 14] > 127) is not np.bool_(dark)
            assert piece.fitted.inverted == (polarity == "dark-on-light" and image is page)


def test_colour_is_refused() -> None:
    spec = replace(GREY_SPEC, mean=(0.1,) * 3, std=(0.3,) * 3)
    with pytest.raises(ArgumentError, match="pictures are split for classifiers of grey images"):
        split_image(Image.new("RGB", (40, 40)), spec)


def test_a_pattern_is_refused_before_it_takes_long() -> None:
    page = np.zeros((1000, 1000), np.uint8)
    page[::5, ::5] = 255
    with pytest.raises(
        ImageError, match=r"40,000 pieces of ink are no rows of digits \(at most 500\): cut the picture"
    ):
        split_image(Image.fromarray(page), replace(MNIST_SPEC, fit="resize"))


def test_classifier_names_each(digits: ImageData, digits_run: Run) -> None:
    page = written(digits, [3, 7, 11], [(5, 8), (90, 4), (170, 12)], (260, 110))
    classifier = Classifier(exported(digits_run, "int8"))
    found = classifier.split(np.asarray(page))
    pieces = split_image(page, classifier.spec)
    assert [item.box for item in found] == [piece.box for piece in pieces]
    expected = classifier.logits(np.stack([piece.fitted.pixels for piece in pieces])).argmax(1)
    assert [item.index for item in found] == expected.tolist()
    assert [item.label for item in found] == [digits.labels[digits.test_labels[i]] for i in (3, 7, 11)]
    assert classifier.split(Image.new("L", (50, 50))) == []
