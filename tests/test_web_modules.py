"""The page's modules, run in Node: images as Python fits them, strokes as MNIST was made, proofs that fail."""

import base64
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser_modules import run_module
from conftest import GREY_SPEC
from lenet_edge.datasets import ImageData
from lenet_edge.web.drawing import frame_of
from lenet_edge_runtime.fitting import fit_image
from lenet_edge_runtime.images import read_image
from lenet_edge_runtime.spec import Fit

MNIST_FRAME = {"box": 20, "pen": 2.5, "centre": "mass"}
RNG = np.random.default_rng(5)


def base64_of(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


# --- images --------------------------------------------------------------------------------------------------------


def variants(digit: np.ndarray) -> dict[str, Image.Image]:
    """One digit in the shapes and modes that a user's image may have."""
    grey = Image.fromarray(digit)
    alpha = Image.fromarray(np.dstack([np.full((28, 28, 3), 40, np.uint8), digit]))
    return {
        "as it is": grey,
        "dark on light": Image.fromarray(255 - digit),
        "large": grey.resize((500, 500), Image.Resampling.BICUBIC),
        "small": grey.resize((9, 9), Image.Resampling.BOX),
        "wide": Image.fromarray(np.pad(digit, ((0, 0), (40, 3)))).resize((333, 120)),
        "tall": Image.fromarray(255 - np.pad(digit, ((10, 30), (0, 1)))),
        "colour": Image.merge("RGB", [grey, grey.rotate(10), Image.fromarray(255 - digit)]).resize((61, 47)),
        "dark on transparent": alpha,
        "light on transparent": Image.fromarray(np.dstack([np.full((28, 28, 3), 200, np.uint8), digit])).resize(
            (90, 70)
        ),
        "noise": Image.fromarray(RNG.integers(0, 256, (57, 83, 3), np.uint8)),
        "noise with alpha": Image.fromarray(RNG.integers(0, 256, (31, 30, 4), np.uint8)),
        "one pixel": Image.new("L", (1, 1), 77),
        "photo": photo(digit),
        "large photo": photo(digit).resize((2313, 2001), Image.Resampling.BICUBIC),
    }


def photo(digit: np.ndarray) -> Image.Image:
    """Ink on uneven paper with noise, off the middle."""
    large = np.asarray(Image.fromarray(np.pad(digit, ((9, 20), (15, 4)))).resize((240, 260), Image.Resampling.BICUBIC))
    paper = np.linspace(190, 215, 240) + RNG.normal(0, 2, large.shape)
    return Image.fromarray(np.clip(paper - 0.6 * large, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("fit", ["resize", "mnist"])
def test_images_become_the_pixels_that_python_makes_of_them(fit: Fit, digits: ImageData) -> None:
    spec = replace(GREY_SPEC, fit=fit)
    images = {
        f"{name} {index}": image
        for index in range(0, 50, 10)
        for name, image in variants(digits.test_pixels[index, 0]).items()
    }
    given = [
        {"rgba": base64_of(np.asarray(image.convert("RGBA"))), "width": image.width, "height": image.height}
        for image in images.values()
    ]
    body = """
        const { model, images } = given;
        return images.map(({ rgba, width, height }) => {
            const { pixels, inverted } = m.toPixels(bytes(rgba), width, height, model);
            return [Array.from(pixels), inverted];
        });
    """
    model = {"width": 28, "height": 28, "polarity": "light-on-dark", "fit": fit}
    found = run_module("fitting.mjs", body, {"model": model, "images": given})
    for (name, image), (pixels, inverted) in zip(images.items(), found, strict=True):
        expected = fit_image(read_image(image, 1), spec)
        assert inverted == expected.inverted, name
        np.testing.assert_array_equal(np.uint8(pixels).reshape(1, 28, 28), expected.pixels, name)


@pytest.mark.parametrize(("width", "height"), [(1000, 3), (3, 1000)])
def test_image_too_narrow_is_refused(width: int, height: int) -> None:
    body = """
        try { m.toPixels(bytes(given.rgba), given.width, given.height, { width: 28, height: 28, polarity: "any" }); }
        catch (error) { return error.message; }
    """
    given = {"rgba": base64_of(np.zeros((height, width, 4), np.uint8)), "width": width, "height": height}
    assert run_module("fitting.mjs", body, given) == f"an image of {width} x {height} pixels is too narrow"


# --- strokes -------------------------------------------------------------------------------------------------------


def rasterised(strokes: list[list[list[float]]], frame: dict[str, Any] = MNIST_FRAME) -> np.ndarray:
    body = "return Array.from(m.rasterise(given.strokes, given.frame, 28, 28));"
    pixels = run_module("strokes.mjs", body, {"strokes": strokes, "frame": frame})
    return np.array(pixels, np.uint8).reshape(28, 28)


def centre_of_mass(pixels: np.ndarray) -> tuple[float, float]:
    weights = pixels / pixels.sum()
    along = np.arange(28) + 0.5
    return float(weights.sum(1) @ along), float(weights.sum(0) @ along)


def longer_side(pixels: np.ndarray) -> int:
    return max(int(np.ptp(positions)) + 1 for positions in np.nonzero(pixels >= 64))


SEVEN = [[[0.2, 0.2], [0.7, 0.2], [0.4, 0.8]]]
RING = [[[0.5 + 0.1 * math.cos(a / 8), 0.5 + 0.2 * math.sin(a / 8)] for a in range(51)]]
CROSS = [[[0, 0], [1, 1]], [[0, 1], [1, 0]]]


@pytest.mark.parametrize("strokes", [SEVEN, RING, CROSS], ids=["seven", "ring", "cross"])
def test_strokes_fill_the_box_and_are_centred_by_mass(strokes: list[list[list[float]]]) -> None:
    pixels = rasterised(strokes)
    assert longer_side(pixels) in (20, 21)  # 21 where the place is not a whole pixel
    assert centre_of_mass(pixels) == pytest.approx((14.5, 14.5), abs=0.15)


def test_strokes_centred_by_their_box() -> None:
    pixels = rasterised(SEVEN, {**MNIST_FRAME, "centre": "box"})
    rows, _ = np.nonzero(pixels)
    assert (rows.min(), rows.max()) == (4, 23)


def test_place_and_size_of_a_drawing_do_not_matter() -> None:
    moved = [[[0.1 + 0.25 * x, 0.5 + 0.25 * y] for x, y in stroke] for stroke in SEVEN]
    np.testing.assert_allclose(rasterised(moved), rasterised(SEVEN).astype(float), atol=32)


def test_line_has_the_width_of_the_pen_and_full_ink_inside() -> None:
    pixels = rasterised([[[0, 0], [0, 1]]], {"box": 20, "pen": 4, "centre": "box"})
    np.testing.assert_array_equal(pixels[14], np.where(np.abs(np.arange(28) - 13.5) < 2, 255, 0))


def test_dot_and_nothing() -> None:
    dot = rasterised([[[0.3, 0.3]]])
    assert dot.sum() / 255 == pytest.approx(math.pi * 1.25**2, rel=0.1)
    assert rasterised([]).max() == rasterised([[]]).max() == 0


def test_ink_never_leaves_the_image() -> None:
    hook = [[[0, 0], [0.02, 0], [0.03, 0.02], [0, 0.02], [0.01, 0.01], [0, 1]]]  # all of its weight is at the top
    pixels = rasterised(hook, {"box": 26, "pen": 3, "centre": "mass"})
    assert longer_side(pixels) >= 26


def test_frame_is_found_again_in_what_was_drawn_by_it() -> None:
    images = np.stack([rasterised(strokes, {**MNIST_FRAME, "pen": 3})[None] for strokes in (SEVEN, RING, CROSS)])
    found = frame_of(images, GREY_SPEC)
    assert found is not None
    assert (found.box in (20, 21), found.centre) == (True, "mass")
    assert found.pen == pytest.approx(3, abs=0.4)


# --- answers -------------------------------------------------------------------------------------------------------


def replayed(change: str = "", tolerance: float = 0.0) -> list[Any]:
    """[result, verdict] of a replay of three images whose engine gives the known logits, changed by `change`."""
    logits = np.float32([[1, 2], [3, 4], [-0.0, 6]])
    given = {
        "shape": [3, 1, 2, 2], "pixels": base64_of(np.zeros(12, np.uint8)), "logits": base64_of(logits),
        "tolerance": tolerance,
    }  # fmt: skip
    body = f"""
        const known = m.decode(given);
        const found = known.logits.slice();
        {change}
        const result = await m.replay({{ predict: async () => found }}, known);
        return [result, m.verdict(result)];
    """
    return run_module("answers.mjs", body, given)


def test_replay_passes_where_every_bit_is_the_same() -> None:
    result, verdict = replayed()
    assert result == {"passed": True, "right": 3, "count": 3, "exact": 3, "difference": 0}
    assert verdict == "Pass: 3 of 3 known answers given, bit for bit."


def test_replay_fails_by_the_least_difference() -> None:
    result, verdict = replayed("found[3] = Math.fround(4.0000005);")
    assert (result["passed"], result["right"]) == (False, 2)
    assert verdict == "Fail: 2 of 3 known answers given; the greatest difference of a logit is 4.8e-7."


def test_replay_of_a_float_file_has_a_tolerance() -> None:
    result, verdict = replayed("found[3] = Math.fround(4.0000005);", tolerance=1e-5)
    assert (result["passed"], result["exact"]) == (True, 2)
    assert verdict.startswith("Pass: 3 of 3 known answers given; the greatest")


@pytest.mark.parametrize("change", ["found[5] = NaN;", "found.fill(NaN);"])
def test_replay_fails_with_nan(change: str) -> None:
    assert replayed(change, tolerance=1e9)[0]["passed"] is False


def test_softmax_is_numpys(digits: ImageData) -> None:
    logits = RNG.normal(0, 300, 10).astype(np.float32)
    expected = np.exp(logits.astype(float) - logits.max())
    found = run_module("answers.mjs", "return m.softmax(given);", logits.tolist())
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-12)


def test_pillow_is_the_oracle_of_resizing() -> None:
    noise = RNG.integers(0, 256, (40, 33), np.uint8)
    body = "return given.sizes.map(([w, h]) => Array.from(m.resize(bytes(given.grey), 33, 40, w, h)));"
    sizes = [(28, 28), (5, 40), (33, 7), (100, 3), (1, 1), (66, 80)]
    for size, found in zip(
        sizes, run_module("image.mjs", body, {"grey": base64_of(noise), "sizes": sizes}), strict=True
    ):
        expected = np.asarray(Image.fromarray(noise).resize(size, Image.Resampling.LANCZOS))
        np.testing.assert_array_equal(np.uint8(found).reshape(expected.shape), expected, str(size))
