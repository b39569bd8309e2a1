"""Images are fitted as MNIST was made: against MNIST's own rules, and against the digits that they were made of."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy import ndimage

from command_line import CommandLine
from image_variants import on_page, photo, variants
from lenet_edge.data.datasets import load_dataset
from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.run import Run
from lenet_edge_runtime import Classifier
from lenet_edge_runtime.fitting import SMOOTHED, fit_image, is_inverted
from specs import GREY_SPEC
from trained_runs import exported

MNIST_SPEC = replace(GREY_SPEC, fit="mnist")
SIDES = st.integers(1, 90)


def share_of_same_class(classifier: Classifier, digits: np.ndarray) -> tuple[int, float, list[str]]:
    """How many variants of `digits`, uint8 [n, 28, 28], there are, how many keep their digit's class, which do not."""
    expected = classifier.logits(digits[:, None]).argmax(1)
    made = list(variants(digits))
    lost = [item.name for item in made if classifier.predict(item.content).index != expected[item.source]]
    return len(made), 1 - len(lost) / len(made), lost


def test_800_files_of_digits_keep_their_class(digits_run: Run, digits: ImageData) -> None:
    """Modes x EXIF orientations x sizes x polarities, of digits that the net reads with some certainty.

    The net of the tests is trained for two seconds and is unsure of every tenth digit, on which any change tells;
    MNIST's own, below, has to keep 99 %.
    """
    classifier = Classifier(exported(digits_run, "int8"))
    logits = classifier.logits(digits.test_pixels)
    certain = np.diff(np.sort(logits, axis=1)[:, -2:], axis=1)[:, 0] > np.median(logits.max(1)) / 4
    count, share, lost = share_of_same_class(classifier, digits.test_pixels[certain, 0])
    assert count == 800
    assert share >= 0.98, lost


@pytest.mark.real_data
def test_800_files_of_mnist_digits_keep_their_class(real_data: Path, cli: CommandLine) -> None:
    assert cli("train", "--dataset", "mnist", "--epochs", "2", "--data-dir", real_data).exit_code == 0
    assert cli("export", "--int8", "--data-dir", real_data).exit_code == 0
    (model,) = Path("runs").glob("*/export/*.int8.onnx")
    classifier, digits = Classifier(model), load_dataset("mnist", real_data).test_pixels[:, 0]
    count, share, lost = share_of_same_class(classifier, digits)
    assert count == 800
    assert share >= 0.99, lost
    expected = classifier.logits(digits[:100, None]).argmax(1)
    shaded = [classifier.predict(photo(digit, seed)) for seed, digit in enumerate(digits[:100])]
    assert np.mean([found.index for found in shaded] == expected) >= 0.97
    assert all(found.inverted for found in shaded)


@pytest.mark.real_data
def test_mnist_comes_out_as_it_went_in(real_data: Path) -> None:
    """What was made of the original forms by MNIST's authors is what is made of it here."""
    digits = load_dataset("mnist", real_data).test_pixels[:2000, 0]
    found = np.stack([fit_image(Image.fromarray(digit), MNIST_SPEC, fit="mnist").pixels[0] for digit in digits])
    difference = np.abs(found.astype(int) - digits).mean(axis=(1, 2))
    assert (difference == 0).mean() > 0.42
    # A faint outermost row may go, and what is left is scaled up by 20/19; the thinnest strokes are widened.
    assert np.median(difference) < 0.5


@pytest.mark.real_data
def test_every_image_of_mnist_is_left_as_it_is(real_data: Path) -> None:
    for digit in load_dataset("mnist", real_data).test_pixels[:, 0]:
        assert fit_image(Image.fromarray(digit), MNIST_SPEC).pixels[0].tobytes() == digit.tobytes()


@given(SIDES, SIDES, st.integers(0, 60), st.integers(0, 60), st.booleans())
def test_box_and_centre_of_mass(width: int, height: int, left: int, top: int, dark_ink: bool) -> None:
    """The ink of any image fills a 20 x 20 box in one direction, and its centre of mass is in the centre.

    Averaging 3 x 3 pixels of a large page makes the ink a pixel wider on each side; what is thin becomes wider.
    """
    page = np.zeros((top + height + 70, left + width + 70), np.uint8)
    page[top + 5 : top + 5 + height, left + 5 : left + 5 + width] = 255
    found = fit_image(Image.fromarray(255 - page if dark_ink else page), MNIST_SPEC)
    assert found.inverted is dark_ink
    rows, columns = (np.flatnonzero(found.pixels[0].max(axis)) for axis in (1, 0))
    grown = 2 if min(page.shape) >= SMOOTHED else 0
    sides = (width + grown, height + grown)
    for found_side, side in zip((len(columns), len(rows)), sides, strict=True):
        expected = max(1, round(20 * side / max(sides)))
        assert found_side == expected if expected > 2 else expected <= found_side <= expected + 2
    centre = np.array(ndimage.center_of_mass(found.pixels[0]))
    assert np.abs(centre - 14).max() <= 0.5  # it is moved by whole pixels


def test_an_image_that_is_as_it_has_to_be_is_left_so(digits: ImageData) -> None:
    digit = fit_image(on_page(digits.test_pixels[0, 0], 84, (120, 120), (9, 20)), MNIST_SPEC).pixels[0]
    np.testing.assert_array_equal(fit_image(Image.fromarray(digit), MNIST_SPEC).pixels[0], digit)
    dark_ink = fit_image(Image.fromarray(255 - digit), MNIST_SPEC)
    np.testing.assert_array_equal(dark_ink.pixels[0], digit)
    assert dark_ink.inverted


@pytest.mark.parametrize(
    "change",
    [
        lambda digit: np.roll(digit, (2, -2), axis=(0, 1)),
        lambda digit: digit // 3,
        lambda digit: 200 - digit // 2,
    ],
    ids=["off centre", "faint", "grey paper"],
)
def test_a_drawing_of_the_input_size_is_fitted_too(
    digits: ImageData, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    """Programs hand on 28 x 28 of whatever was drawn: MNIST's size is not yet MNIST's place and contrast."""
    digit = fit_image(on_page(digits.test_pixels[0, 0], 84, (120, 120), (9, 20)), MNIST_SPEC).pixels[0]
    changed = change(digit).astype(np.uint8)
    found = fit_image(Image.fromarray(changed), MNIST_SPEC).pixels[0]
    assert np.abs(found.astype(int) - digit).mean() < 2
    np.testing.assert_array_equal(fit_image(Image.fromarray(changed), GREY_SPEC, invert=False).pixels[0], changed)


@pytest.mark.parametrize(
    ("side", "pen"), [(28, 1), (28, 2), (64, 1), (64, 4), (300, 1), (300, 9), (1500, 1), (1500, 40)]
)
def test_thin_strokes_come_out_as_wide_and_bright_as_mnists(side: int, pen: int) -> None:
    page = Image.new("L", (side, side), "white")
    corners = [(side * x, side * y) for x, y in ((0.2, 0.2), (0.7, 0.25), (0.45, 0.8))]
    ImageDraw.Draw(page).line(corners, "black", pen, joint="curve")
    pixels = fit_image(page, MNIST_SPEC).pixels[0]
    assert pixels.max() == 255
    bar = pixels[14].astype(float)  # across the slanted stroke
    assert 1.2 < bar.sum() / 255 < 3.6
    assert bar.max() > 150


def test_the_file_says_how_its_images_are_fitted(digits_run: Run, digits: ImageData) -> None:
    digit = digits.test_pixels[int((digits.test_labels == 4).argmax()), 0]
    page = on_page(digit, 60, (300, 200), (20, 100))
    classifier = Classifier(exported(digits_run, "onnx"))
    assert classifier.spec.fit == "mnist"
    assert classifier.predict(page).label == "4"
    assert classifier.predict(page) == classifier.predict(page, fit="mnist")
    as_a_whole = fit_image(page, GREY_SPEC).pixels[0]
    np.testing.assert_array_equal(as_a_whole, fit_image(page, MNIST_SPEC, fit="resize").pixels[0])
    assert np.count_nonzero(as_a_whole) < 100  # six pixels wide: that is what such a page looks like from afar


def test_uneven_paper_and_jpeg_noise(digits_run: Run, digits: ImageData) -> None:
    """A dim photo: grey paper in the shade of a hand, whose border is darker than half of white."""
    digit = digits.test_pixels[int((digits.test_labels == 0).argmax()), 0]
    ink = np.asarray(on_page(digit, 90, (160, 120), (30, 10)), np.float64) / 255
    shade = np.linspace(120, 90, 160)
    noise = np.random.default_rng(0).normal(0, 2, ink.shape)
    photo = (shade - ink * (shade - 25) + noise).clip(0, 255).astype(np.uint8)
    found = Classifier(exported(digits_run, "onnx")).predict(photo)
    assert (found.label, found.inverted) == ("0", True)


def test_specks_of_which_nothing_is_left() -> None:
    page = np.zeros((1000, 83), np.uint8)
    page[1, 1] = page[-2, -2] = 255  # 20 / 1000 of them: less than half a grey level
    assert fit_image(Image.fromarray(page), MNIST_SPEC).pixels.max() == 0


@pytest.mark.parametrize("level", [0, 127, 255])
@pytest.mark.parametrize("size", [(28, 28), (28, 90), (1, 1), (300, 2)])
def test_blank_images(level: int, size: tuple[int, int]) -> None:
    found = fit_image(Image.new("L", size, level), MNIST_SPEC)
    assert found.inverted is False
    assert found.pixels.shape == (1, 28, 28)
    assert len(np.unique(found.pixels)) == 1


def test_polarity_of_the_spec_decides() -> None:
    image = Image.new("L", (9, 9), 30)
    image.putpixel((4, 4), 200)
    expected = {"light-on-dark": False, "dark-on-light": True, "any": False}
    assert {
        polarity: is_inverted(image, replace(GREY_SPEC, polarity=polarity), "auto") for polarity in expected
    } == expected


def test_other_policies_are_refused() -> None:
    image = Image.new("L", (9, 9))
    with pytest.raises(ValueError, match="invert is \"auto\", True or False, got 'yes'"):
        fit_image(image, GREY_SPEC, invert="yes")
    with pytest.raises(ValueError, match='fit is "auto", "mnist" or "resize", got \'crop\''):
        fit_image(image, GREY_SPEC, fit="crop")
    colour = replace(GREY_SPEC, mean=(0.5,) * 3, std=(0.5,) * 3)
    with pytest.raises(ValueError, match="for classifiers of grey images"):
        fit_image(image.convert("RGB"), colour, fit="mnist")
    with pytest.raises(ValueError, match="the first for grey images only"):
        replace(colour, fit="mnist")
