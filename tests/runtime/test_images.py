"""Any image becomes the pixels that a model takes, or a readable error."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lenet_edge.data.image_data import ImageData
from lenet_edge_runtime import ImageError
from lenet_edge_runtime.fitting import fit_image, is_inverted
from lenet_edge_runtime.images import MAX_PIXELS, read_image
from specs import GREY_SPEC


@pytest.fixture
def digit(digits) -> np.ndarray:
    """A real digit, uint8 [28, 28], light on dark and not symmetric."""
    return digits.test_pixels[3, 0]


def encoded(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def pixels_of(source: object) -> np.ndarray:
    return fit_image(read_image(source, 1), GREY_SPEC).pixels[0]


def with_alpha(digit: np.ndarray, ink: int) -> Image.Image:
    rgba = np.full((28, 28, 4), ink, np.uint8)
    rgba[..., 3] = digit
    return Image.fromarray(rgba)


def sideways(digit: np.ndarray) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees clockwise to see it upright"
    return encoded(Image.fromarray(np.rot90(digit)), exif=exif)


SAME_IMAGE = {
    "grey": lambda d: encoded(Image.fromarray(d)),
    "RGB": lambda d: encoded(Image.fromarray(d).convert("RGB")),
    "palette": lambda d: encoded(Image.fromarray(d).convert("P")),
    "16 bit": lambda d: encoded(Image.fromarray(d.astype(np.uint16) * 257)),
    "dark on light": lambda d: encoded(Image.fromarray(255 - d)),
    "light on transparent": lambda d: encoded(with_alpha(d, 255)),
    "dark on transparent": lambda d: encoded(with_alpha(d, 0)),
    "EXIF orientation": sideways,
    "TIFF": lambda d: encoded(Image.fromarray(d), "TIFF"),
    "array": lambda d: d,
    "array with a channel": lambda d: d[..., None],
    "float array": lambda d: d / 255,
    "PIL image": Image.fromarray,
}


@pytest.mark.parametrize("kind", SAME_IMAGE)
def test_same_image_gives_same_pixels(kind: str, digit: np.ndarray) -> None:
    np.testing.assert_allclose(pixels_of(SAME_IMAGE[kind](digit)), digit, atol=1)


def test_size_and_proportion(digit: np.ndarray) -> None:
    tall = np.pad(digit, ((14, 14), (0, 0)))
    found = pixels_of(Image.fromarray(tall).resize((280, 560), Image.Resampling.NEAREST))
    expected = np.asarray(Image.fromarray(digit).resize((14, 14), Image.Resampling.BOX))
    assert found[:, :7].max() == found[:, 21:].max() == 0  # bars of the border's colour, not a squeezed digit
    assert np.corrcoef(found[7:21, 7:21].ravel(), expected.ravel())[0, 1] > 0.97


@pytest.mark.parametrize(("invert", "expected"), [("auto", True), (True, True), (False, False)])
def test_polarity_of_a_photo_of_ink_on_paper(invert: bool | str, expected: bool, digit: np.ndarray) -> None:
    assert is_inverted(Image.fromarray(255 - digit), GREY_SPEC, invert) is expected


def test_colour_model_gets_three_channels() -> None:
    image = Image.new("RGB", (8, 8), (10, 20, 30))
    assert np.asarray(read_image(image, 3)).shape == (8, 8, 3)


BROKEN = {
    "text": b"this is not an image",
    "empty": b"",
    "truncated PNG": encoded(Image.effect_noise((28, 28), 50))[:300],
    "truncated JPEG": encoded(Image.effect_noise((64, 64), 50), "JPEG")[:900],
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(BROKEN[kind])
    with pytest.raises(ImageError, match=r"image\.png is not an image that can be read"):
        read_image(path, 1)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="does not exist"):
        read_image(tmp_path / "nowhere.png", 1)


def test_huge_image_is_refused_before_it_is_decoded() -> None:
    side = int(MAX_PIXELS**0.5) + 100
    bomb = encoded(Image.new("1", (side, side)))
    assert len(bomb) < 100_000
    with pytest.raises(ImageError, match="scale it down first"):
        read_image(bomb, 1)


@pytest.mark.parametrize(
    "array",
    [np.zeros(5, np.uint8), np.zeros((2, 2, 5), np.uint8), np.zeros((2, 2), np.int64), np.full((2, 2), 2.0),
     np.full((2, 2), np.nan), np.zeros((0, 4), np.uint8)],
    ids=["1-d", "5 channels", "int64", "above 1", "NaN", "empty"],
)  # fmt: skip
def test_arrays_that_are_no_images_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError):
        read_image(array, 1)


@pytest.mark.parametrize("dark_ink", [True, False])
@pytest.mark.parametrize("mode", ["P", "RGBA", "LA"])
def test_a_cut_out_lies_on_what_its_rim_leans_to(digits: ImageData, mode: str, dark_ink: bool) -> None:
    """A program that makes white transparent leaves near-white around the ink; the paper is white all the same."""
    light = np.asarray(Image.fromarray(digits.test_pixels[0, 0]).resize((56, 56), Image.Resampling.BICUBIC))
    grey = 255 - light if dark_ink else light
    ground = 255 if dark_ink else 0
    if mode == "P":
        image = Image.fromarray(grey)
        buffer = io.BytesIO()
        image.convert("P").save(buffer, "PNG", transparency=ground)
        cut_out = Image.open(buffer)
    else:
        cut_out = Image.fromarray(grey).convert(mode)
        cut_out.putalpha(Image.fromarray(np.where(grey == ground, 0, 255).astype(np.uint8)))
    np.testing.assert_array_equal(np.asarray(read_image(cut_out, 1)), grey)
