"""Arrays as pictures inside the HTML: PNG files in `data:` URIs, a few hundred bytes each."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenet_edge.report.markup import Markup, tag

# Of the values above and below zero; both can be told apart on white and on black.
POSITIVE, NEGATIVE = (62, 130, 190), (222, 116, 48)


def picture(array: NDArray[np.uint8], alt: str, class_: str = "pixels") -> Markup:
    """An `img` of raw pixels, uint8 [c, h, w] with 1 or 3 channels."""
    pixels = array[0] if len(array) == 1 else array.transpose(1, 2, 0)
    return _img(Image.fromarray(np.ascontiguousarray(pixels)), alt, class_)


def signed_picture(values: NDArray[np.float32], alt: str, class_: str = "pixels") -> Markup:
    """An `img` of numbers [h, w]: blue above zero, orange below, transparent at zero, opaque at the largest.

    What is transparent shows the page, so that the picture follows its light or dark theme.
    """
    largest = float(np.abs(values).max()) or 1.0
    rgba = np.empty((*values.shape, 4), np.uint8)
    rgba[..., :3] = np.where(values[..., None] >= 0, np.array(POSITIVE), np.array(NEGATIVE))
    rgba[..., 3] = np.rint(255 * np.abs(values) / largest)
    return _img(Image.fromarray(rgba), alt, class_)


def _img(image: Image.Image, alt: str, class_: str) -> Markup:
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    uri = "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
    return tag("img", src=uri, alt=alt, width=image.width, height=image.height, class_=class_)
