"""From whatever holds an image to an upright 8-bit one, and from raw pixels to what a file takes.

Pillow's traps, each handled here: `convert("L")` maps a 16-bit image onto two grey levels, EXIF orientation is
not applied, transparent pixels come out black, a small file can hold a huge image, and a damaged file raises
whatever the decoder raises. How an image is then fitted to a classifier's input: `fitting.py`.
"""

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lenet_edge_runtime.errors import ImageError
from lenet_edge_runtime.near_names import near_path
from lenet_edge_runtime.reading import IMAGE_BYTES, opened
from lenet_edge_runtime.spec import InputType, ModelSpec

ImageSource = str | Path | bytes | Image.Image | NDArray[np.generic]

MAX_PIXELS = 50_000_000  # a camera's photo fits; a 9000x9000 PNG of 79 kB, made to fill the memory, does not
RIM = 20  # grey levels by which the mean of a cut-out's rim has to differ from that of its inside
# What is decoded, and by which names it is found in a folder. Pillow knows more, among them PostScript, for which it
# starts another program.
DECODERS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".mpo", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp"}
    | {".pbm", ".pgm", ".ppm", ".pnm", ".jp2", ".avif"}
)


def read_image(source: ImageSource, channels: int) -> Image.Image:
    """Open `source` (a path, a file's bytes, a PIL image, or an array H x W or H x W x C) upright, as L or RGB.

    Arrays are uint8 0..255 or float 0..1, with 1 (grey), 3 (RGB) or 4 (RGBA) channels. Of a file with several frames
    the first is read. Integers wider than 8 bits count up to 65535, or to 255 where none is above; floats up to 1,
    255 or 65535. Raises ImageError for anything that is no image, is damaged or too large.
    """
    name = str(source) if isinstance(source, str | Path) else "the image"
    if isinstance(source, np.ndarray):
        return _flatten(_from_array(source), channels)
    if not isinstance(source, str | Path | bytes | Image.Image):
        raise ImageError(f"an image is a path, a file's bytes, a PIL image or a NumPy array, got {type(source)}")
    try:
        with _QUIET(), contextlib.ExitStack() as stack:
            if isinstance(source, str | Path):
                source = stack.enter_context(_open(stack.enter_context(opened(source, IMAGE_BYTES))))
            image = stack.enter_context(_open(io.BytesIO(source))) if isinstance(source, bytes) else source
            if image.width < 1 or image.height < 1:
                raise ImageError(f"{name} has {image.width} x {image.height} pixels: there is nothing in it")
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(
                    f"{name} has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}: scale it down first"
                )
            image.load()
            return _flatten(_to_8_bit(ImageOps.exif_transpose(image)), channels)
    except FileNotFoundError:
        raise ImageError(f"{name} does not exist: {near_path(Path(name))}give the path of an image file") from None
    except IsADirectoryError:
        raise ImageError(f"{name} is a folder: give an image file, or a folder that holds some") from None
    except ImageError:
        raise
    except UnidentifiedImageError:  # an OSError, too
        raise ImageError(f"{name} is not an image that can be read (its bytes are of no known image format)") from None
    except OSError as error:
        raise ImageError(f"{name} is not an image that can be read ({error.strerror or _first_line(error)})") from None
    except Exception as error:  # a dozen decoders, each of which raises what its parsing of damaged bytes raises
        raise ImageError(f"{name} is not an image that can be read ({_first_line(error)})") from None


def normalise(pixels: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.float32]:
    """Raw pixels, uint8 [n, c, h, w], as the bare network takes them: float32 [n, c, h + 2p, w + 2p].

    Padded with p = `spec.padding` zeros on each side, then (x / 255 - mean) / std.
    """
    border = (spec.padding, spec.padding)
    padded = np.pad(pixels, ((0, 0), (0, 0), border, border)).astype(np.float32)
    mean, std = (np.array(values, np.float32).reshape(1, -1, 1, 1) for values in (spec.mean, spec.std))
    return np.asarray((padded / np.float32(255) - mean) / std)


def to_input(
    pixels: NDArray[np.uint8], spec: ModelSpec, input_type: InputType
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Raw pixels, uint8 [n, c, h, w], as a file of this input type takes them."""
    return pixels if input_type == "uint8" else normalise(pixels, spec)


class _Quiet:
    """Silences Pillow's remarks on odd but readable files.

    `warnings.catch_warnings` changes what the whole process does and is no use in threads that overlap: here the
    first thread to enter silences, and the last to leave restores.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught = warnings.catch_warnings()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._caught.__exit__(None, None, None)


_QUIET = _Quiet()


def _open(source: IO[bytes]) -> Image.Image:
    return Image.open(source, formats=_decoders())


@cache
def _decoders() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in DECODERS if name in Image.OPEN)  # some builds of Pillow lack some


def _from_array(array: NDArray[np.generic]) -> Image.Image:
    if isinstance(array, np.ma.MaskedArray):
        if np.ma.is_masked(array):
            raise ImageError("a masked array has pixels that are no pixels: fill them first, by array.filled(0)")
        array = array.data
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or 0 in array.shape:
        raise ImageError(f"an image array is H x W or H x W x C with 1, 3 or 4 channels, got shape {array.shape}")
    if array.dtype.kind == "f":
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise ImageError("a float image has values from 0 to 1; divide it by its white value, or give uint8")
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ImageError(f"an image array is uint8 (0..255) or float (0..1), got {array.dtype}")
    return Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array)


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and float grey images to 8 bits; other modes pass."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    grey = np.asarray(image, dtype=np.float32)
    if not np.isfinite(grey).all() or grey.min() < 0 or grey.max() > 65535:
        raise ValueError("grey values outside 0..65535")
    white = np.float32(1.0 if image.mode == "F" and grey.max() <= 1 else 255.0 if grey.max() <= 255 else 65535.0)
    return Image.fromarray(np.rint(grey / white * 255).astype(np.uint8))


def _flatten(image: Image.Image, channels: int) -> Image.Image:
    """Convert to L or RGB; transparent pixels show what the content was drawn on (`_ground`)."""
    if "transparency" in image.info or "A" in image.getbands() or "a" in image.getbands():
        rgba = image.convert("RGBA")
        ground = _ground(np.asarray(rgba.convert("RGB").convert("L")), np.asarray(rgba.getchannel("A")))
        background = Image.new("RGBA", rgba.size, (ground, ground, ground, 255))
        image = Image.alpha_composite(background, rgba).convert("RGB")
    return image.convert("L" if channels == 1 else "RGB")


def _ground(grey: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> int:
    """What the content was drawn on, 0 or 255, where it is transparent now.

    The content's rim, the pixels beside transparent ones, leans towards it: white paper, or the soft edge of a stroke
    on it, has been left around the ink. Content of one tone has no such rim and gets the opposite of itself.
    """
    solid = alpha >= 128
    padded = np.pad(solid, 1, constant_values=True)
    surrounded = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    rim, inside = grey[solid & ~surrounded], grey[solid & surrounded]
    if len(rim) and len(inside):
        lighter = rim.sum(dtype=np.int64) / len(rim) - inside.sum(dtype=np.int64) / len(inside)
        if abs(lighter) > RIM:
            return 255 if lighter > 0 else 0
    opacity = alpha.sum(dtype=np.int64)
    weighted = (grey.astype(np.uint16) * alpha).sum(dtype=np.int64)
    return 0 if opacity > 0 and weighted / opacity > 127.5 else 255


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
