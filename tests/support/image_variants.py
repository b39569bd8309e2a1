"""One digit as the files it might come in: every mode Pillow knows x EXIF orientations x sizes x polarities."""

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

ORIENTATION = 0x0112  # the EXIF tag
# Stored so, an image is upright after what each orientation asks for (EXIF 2.3, 4.6.4 A).
STORED = {
    1: lambda image: image,
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
}


def resized(digit: np.ndarray, side: int) -> Image.Image:
    return Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)


def on_page(digit: np.ndarray, side: int, page: tuple[int, int], corner: tuple[int, int]) -> Image.Image:
    image = Image.new("L", page, 0)
    image.paste(resized(digit, side), corner)
    return image


def photo(digit: np.ndarray, seed: int) -> np.ndarray:
    """Dark ink somewhere on paper that is in the shade on one side, with the noise of a phone's camera."""
    generator = np.random.default_rng(seed)
    side = int(generator.integers(60, 160))
    corner = int(generator.integers(5, 315 - side)), int(generator.integers(5, 235 - side))
    ink = np.asarray(on_page(digit, side, (320, 240), corner), np.float64) / 255
    paper = np.linspace(200, 140, 320)
    return (paper - ink * (paper - 40) + generator.normal(0, 8, ink.shape)).clip(0, 255).astype(np.uint8)


SIZES = {
    "as it is": Image.fromarray,
    "56 x 56": lambda digit: resized(digit, 56),
    "21 x 21": lambda digit: resized(digit, 21),
    "150 x 90, off centre": lambda digit: on_page(digit, 84, (150, 90), (2, 5)),
    "480 x 640, small in a corner": lambda digit: on_page(digit, 120, (480, 640), (330, 60)),
}


def with_alpha(light: np.ndarray, dark_ink: bool, mode: str) -> Image.Image:
    """Ink of one colour, as opaque as there is ink."""
    ink = Image.new("L", light.shape[::-1], 0 if dark_ink else 255)
    image = ink.convert(mode)
    image.putalpha(Image.fromarray(light))
    return image


def grey(light: np.ndarray, dark_ink: bool) -> np.ndarray:
    return 255 - light if dark_ink else light


# mode -> (file format, image of it from light ink on dark, uint8 [h, w], and whether the ink shall be dark)
MODES = {
    "1": ("PNG", lambda light, dark: Image.fromarray(grey(light, dark) > 127)),
    "L": ("WEBP", lambda light, dark: Image.fromarray(grey(light, dark))),
    "LA": ("PNG", lambda light, dark: with_alpha(light, dark, "LA")),
    "P": ("PNG", lambda light, dark: Image.fromarray(grey(light, dark)).convert("RGB").quantize(32)),
    "RGB": ("JPEG", lambda light, dark: Image.fromarray(grey(light, dark)).convert("RGB")),
    "RGBA": ("PNG", lambda light, dark: with_alpha(light, dark, "RGBA")),
    "CMYK": ("TIFF", lambda light, dark: Image.fromarray(grey(light, dark)).convert("RGB").convert("CMYK")),
    "I;16": ("PNG", lambda light, dark: Image.fromarray(grey(light, dark).astype(np.uint16) * 257)),
    "I": ("TIFF", lambda light, dark: Image.fromarray(grey(light, dark).astype(np.int32) * 257)),
    "F": ("TIFF", lambda light, dark: Image.fromarray(grey(light, dark).astype(np.float32) / 255)),
}


@dataclass(frozen=True)
class Variant:
    """A file made of the digit number `source`; `name` says how."""

    name: str
    source: int
    content: bytes


def variants(digits: np.ndarray) -> Iterator[Variant]:
    """Each combination once, of one digit after the other of `digits`, uint8 [n, 28, 28], light on dark."""
    combinations = itertools.product(MODES, STORED, SIZES, (False, True))
    for number, (mode, orientation, size, dark_ink) in enumerate(combinations):
        source = number % len(digits)
        file_format, make = MODES[mode]
        image = make(np.asarray(SIZES[size](digits[source])), dark_ink)
        assert image.mode == mode
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        buffer = io.BytesIO()
        STORED[orientation](image).save(buffer, file_format, exif=exif)
        name = f"{mode} {file_format}, orientation {orientation}, {size}, {'dark' if dark_ink else 'light'} ink"
        yield Variant(name, source, buffer.getvalue())
