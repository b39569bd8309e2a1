"""The page's modules, run in Node: images as Python fits them, strokes as MNIST was made, proofs that fail."""

import base64
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import ndimage

from browser_modules import run_module
from image_variants import MODES, SIZES, on_page, photo, resized
from lenet_edge.data.datasets import load_dataset
from lenet_edge.data.image_data import ImageData
from lenet_edge_runtime import ModelSpec
from lenet_edge_runtime.answers import are_known
from lenet_edge_runtime.fitting import Fitted, fit_image
from lenet_edge_runtime.images import read_image
from specs import GREY_SPEC

MNIST_SPEC = replace(GREY_SPEC, fit="mnist")
RNG = np.random.default_rng(5)
BROWSERS_MODES = (
    "1",
    "L",
    "LA",
    "P",
    "RGB",
    "RGBA",
)  # of image_variants; the others are of formats that no browser reads


def base64_of(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


# --- images --------------------------------------------------------------------------------------------------------


def greys(images: list[Image.Image]) -> list[Image.Image]:
    """What image.mjs makes of RGBA."""
    given = [
        {"data": base64_of(np.asarray(image.convert("RGBA"))), "width": image.width, "height": image.height}
        for image in images
    ]
    body = """
        const found = given.map((image) => m.toGrey({ ...image, data: bytes(image.data) }));
        return found.map(({ grey }) => Buffer.from(grey).toString("base64"));
    """
    return [
        Image.frombytes("L", image.size, base64.b64decode(grey))
        for image, grey in zip(images, run_module("image.mjs", body, given), strict=True)
    ]


def fitted(images: list[Image.Image], spec: ModelSpec) -> list[Fitted]:
    """What fitting.mjs makes of images of mode L."""
    given = {
        "model": {"height": spec.height, "width": spec.width, "polarity": spec.polarity, "fit": spec.fit},
        "images": [
            {"grey": base64_of(np.asarray(image)), "width": image.width, "height": image.height} for image in images
        ],
    }
    body = """
        return given.images.map((image) => {
            const { pixels, inverted } = m.fitImage({ ...image, grey: bytes(image.grey) }, given.model);
            return [Array.from(pixels), inverted];
        });
    """
    return [
        Fitted(np.array(pixels, np.uint8).reshape(spec.pixel_shape), inverted)
        for pixels, inverted in run_module("fitting.mjs", body, given)
    ]


def digits_in_every_shape(digits: ImageData) -> Iterator[tuple[str, Image.Image]]:
    """Modes x sizes and margins x polarities, of one digit after the other."""
    combinations = itertools.product(BROWSERS_MODES, SIZES, (False, True))
    for number, (mode, size, dark_ink) in enumerate(combinations):
        light = np.asarray(SIZES[size](digits.test_pixels[number, 0]))
        yield f"{mode}, {size}, {'dark' if dark_ink else 'light'} ink", MODES[mode][1](light, dark_ink)


def odd_images(digits: ImageData) -> Iterator[tuple[str, Image.Image]]:
    """Sizes that are reduced, averaged or neither; noise, shade, specks, one colour."""
    digit = digits.test_pixels[0, 0]
    for seed in range(20):
        yield f"photo {seed}", Image.fromarray(photo(digits.test_pixels[seed, 0], seed))
    for seed, part in enumerate((0.3, 0.5, 0.8)):  # a shadow over a part of the page, on paper beside a table
        shaded = np.array(photo(digits.test_pixels[seed, 0], seed))
        shaded[:, : int(320 * part)] //= 2
        yield f"shadow {part}", Image.fromarray(shaded)
        shaded[-7:] = shaded[:, :12] = 40
        yield f"table {part}", Image.fromarray(shaded)
        yield f"table, light ink {part}", Image.fromarray(255 - shaded)
    for seed in range(4):  # a wedge of a table at one side, a dark corner
        page, (rows, columns) = np.array(photo(digits.test_pixels[seed, 0], seed)), np.mgrid[:240, :320]
        page[columns < 3 + rows // 14] = 40
        yield f"wedge {seed}", Image.fromarray(np.rot90(page, seed))
        yield f"wedge, light ink {seed}", Image.fromarray(255 - np.rot90(page, seed))
        page[rows + columns < 90] //= 2
        yield f"wedge and corner {seed}", Image.fromarray(np.rot90(page, seed))
    for side in (83, 84, 85):
        yield f"{side} wide, noise", Image.fromarray(photo(digit, 1)).resize((side, 120))
    for size in ((2999, 1001), (1003, 2000), (3004, 40)):
        yield f"{size}", on_page(digit, 35, size, (3, 2))
    yield "dim", Image.fromarray(100 - digit // 9)
    yield "tall", Image.fromarray(255 - np.pad(digit, ((10, 30), (0, 1))))
    colours = [resized(digit, 61), resized(digit, 61).rotate(10), resized(255 - digit, 61)]
    yield "colour", Image.merge("RGB", colours)
    yield "noise", Image.fromarray(RNG.integers(0, 256, (57, 83, 3), np.uint8))
    yield "noise with alpha", Image.fromarray(RNG.integers(0, 256, (31, 30, 4), np.uint8))
    yield "faint", Image.fromarray(RNG.integers(120, 127, (90, 99), np.uint8))
    yield "one pixel", Image.new("L", (1, 1), 77)
    specks = np.zeros((1000, 83), np.uint8)
    specks[1, 1] = specks[-2, -2] = 255
    yield "specks", Image.fromarray(specks)


SPECS = {
    "mnist": MNIST_SPEC,
    "resize": GREY_SPEC,
    "any polarity": replace(GREY_SPEC, polarity="any"),
    "dark on light": replace(GREY_SPEC, polarity="dark-on-light"),
    "20 x 33": replace(MNIST_SPEC, height=20, width=33),
}


@pytest.mark.parametrize("made", [digits_in_every_shape, odd_images])
def test_images_become_the_pixels_that_python_makes_of_them(made: Any, digits: ImageData) -> None:
    names, images = zip(*made(digits), strict=True)
    pages = greys(list(images))
    for name, image, page in zip(names, images, pages, strict=True):
        np.testing.assert_array_equal(np.asarray(page), np.asarray(read_image(image, 1)), name)
    inverted = []
    for spec_name, spec in SPECS.items():
        usable = [page for page in pages if spec.fit == "mnist" or max(page.size) < 50 * min(page.size)]
        for page, found in zip(usable, fitted(usable, spec), strict=True):
            expected = fit_image(page, spec)
            assert found.inverted == expected.inverted, (spec_name, names[pages.index(page)])
            np.testing.assert_array_equal(found.pixels, expected.pixels, f"{spec_name}: {names[pages.index(page)]}")
            inverted.append(found.inverted)
    assert 0.2 < np.mean(inverted) < 0.8


@pytest.mark.real_data
def test_mnist_becomes_the_pixels_that_python_makes_of_it(real_data: Any) -> None:
    digits = load_dataset("mnist", real_data).test_pixels[:500, 0]
    pages = [Image.fromarray(photo(digit, seed)) for seed, digit in enumerate(digits)]
    for page, found in zip(pages, fitted(pages, MNIST_SPEC), strict=True):
        np.testing.assert_array_equal(found.pixels, fit_image(page, MNIST_SPEC).pixels)


@pytest.mark.parametrize("size", [(1000, 3), (3, 1000)])
def test_image_too_narrow_is_refused(size: tuple[int, int]) -> None:
    body = """
        try { m.fitImage({ ...given, grey: new Uint8Array(3000) }, { width: 28, height: 28, polarity: "any" }); }
        catch (error) { return error.message; }
    """
    found = run_module("fitting.mjs", body, {"width": size[0], "height": size[1]})
    assert found == f"an image of {size[0]} x {size[1]} pixels is too narrow"


def pillow(operation: str, image: Image.Image) -> Image.Image:
    """What pillow.mjs makes of `image` (mode L)."""
    body = f"""
        const found = m.{operation.replace("(", "(image, " if operation[-2:] != "()" else "(image")};
        return {{ ...found, grey: Buffer.from(found.grey).toString("base64") }};
    """
    given = {"grey": base64_of(np.asarray(image)), "width": image.width, "height": image.height}
    prelude = "const image = { ...given, grey: bytes(given.grey) };"
    found = run_module("pillow.mjs", prelude + body, given)
    return Image.frombytes("L", (found["width"], found["height"]), base64.b64decode(found["grey"]))


@pytest.mark.parametrize(
    ("operation", "oracle"),
    [
        *(
            (f"resize{size}", lambda image, size=size: image.resize(size, Image.Resampling.LANCZOS))
            for size in [(28, 28), (5, 40), (33, 7), (100, 3), (1, 1), (66, 80)]
        ),
        *((f"reduce({n})", lambda image, n=n: image.reduce(n)) for n in (1, 2, 3, 4, 5, 7, 60)),
        ("boxBlur()", lambda image: image.filter(ImageFilter.BoxBlur(1))),
    ],
)  # fmt: skip
def test_pillow_is_the_oracle_of_its_operations(operation: str, oracle: Any) -> None:
    noise = Image.fromarray(RNG.integers(0, 256, (40, 33), np.uint8))
    found, expected = pillow(operation, noise), oracle(noise)
    assert found.size == expected.size
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


# --- strokes -------------------------------------------------------------------------------------------------------


def rasterised(strokes: list[list[list[float]]]) -> Image.Image:
    body = """
        const { grey, width, height } = m.rasterise(given);
        return [Buffer.from(grey).toString("base64"), width, height];
    """
    grey, *size = run_module("strokes.mjs", body, strokes)
    return Image.frombytes("L", tuple(size), base64.b64decode(grey))


def drawn(strokes: list[list[list[float]]]) -> np.ndarray:
    """What the net sees of strokes: uint8 [28, 28]."""
    return fitted([rasterised(strokes)], MNIST_SPEC)[0].pixels[0]


SEVEN = [[[0.2, 0.2], [0.7, 0.2], [0.4, 0.8]]]
RING = [[[0.5 + 0.1 * math.cos(a / 8), 0.5 + 0.2 * math.sin(a / 8)] for a in range(51)]]
CROSS = [[[0, 0], [1, 1]], [[0, 1], [1, 0]]]
HOOK = [[[0, 0], [0.02, 0], [0.03, 0.02], [0, 0.02], [0.01, 0.01], [0, 1]]]  # all of its weight is at the top


@pytest.mark.parametrize("strokes", [SEVEN, RING, CROSS, HOOK], ids=["seven", "ring", "cross", "hook"])
def test_strokes_fill_the_box_and_are_centred_by_mass(strokes: list[list[list[float]]]) -> None:
    pixels = drawn(strokes)
    np.testing.assert_array_equal(pixels, fit_image(rasterised(strokes), MNIST_SPEC).pixels[0])
    rows, columns = np.nonzero(pixels)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    assert np.abs(np.array(ndimage.center_of_mass(pixels)) - 14).max() <= 0.5


def test_place_and_size_of_a_drawing_do_not_matter() -> None:
    moved = [[[0.125 + 0.25 * x, 0.5 + 0.25 * y] for x, y in stroke] for stroke in SEVEN]
    np.testing.assert_allclose(drawn(moved), drawn(SEVEN).astype(float), atol=8)


def test_lines_are_as_wide_as_mnists() -> None:
    line = drawn([[[0, 0], [0, 1]]])
    assert line[14].sum() / 255 == pytest.approx(2.5, abs=0.6)  # boxes are whole pixels wide
    ring = drawn(RING)
    assert ring[14, :14].sum() / 255 == pytest.approx(2.5, abs=0.3)


def test_dot_and_nothing() -> None:
    dot = rasterised([[[0.3, 0.3]]])
    assert np.asarray(dot).sum() / 255 == pytest.approx(math.pi * 10**2, rel=0.02)
    assert np.asarray(rasterised([])).max() == np.asarray(rasterised([[]])).max() == drawn([]).max() == 0


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


@pytest.mark.parametrize("threshold", [None, 2.5, 6.0])
def test_page_knows_what_python_knows(threshold: float | None) -> None:
    logits = RNG.normal(1, 3, (200, 10)).astype(np.float32)
    body = "return given.rows.map((row) => m.isKnown(row, given.threshold));"
    found = run_module("answers.mjs", body, {"rows": logits.tolist(), "threshold": threshold})
    np.testing.assert_array_equal(found, are_known(logits, replace(GREY_SPEC, threshold=threshold)))
