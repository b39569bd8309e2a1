"""Images whose logits travel with an exported network, so that it can prove itself elsewhere."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime.sessions import open_content

KNOWN_ANSWERS = 16
BATCH = 256


class Answers(Protocol):
    """Whatever gives logits."""

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw pixels, uint8 [n, c, h, w], to logits, float32 [n, classes]."""


class OnnxLogits:
    """An ONNX graph that takes pixels, run by onnxruntime: the oracle of exporters that start from it."""

    def __init__(self, content: bytes) -> None:
        self._run: Callable[..., list[NDArray[np.float32]]] = open_content(content, "the ONNX graph").run

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw pixels, uint8 [n, c, h, w], to logits, float32 [n, classes]."""
        batches = [pixels[i : i + BATCH] for i in range(0, len(pixels), BATCH)]
        return np.concatenate([self._run(["logits"], {"pixels": batch})[0] for batch in batches])


def answer_images(pixels: NDArray[np.uint8], model: Answers) -> NDArray[np.uint8]:
    """Known-answer images: those that compress best, one of every predicted class first, in 16 greys: a small file."""
    pixels = pixels & np.uint8(0xF0)
    predicted = model.logits(pixels).argmax(1)
    order = sorted(range(len(pixels)), key=lambda index: len(zlib.compress(pixels[index].tobytes(), 9)))
    firsts = [next(index for index in order if predicted[index] == label) for label in np.unique(predicted)]
    rest = [index for index in order if index not in firsts]
    return pixels[[*firsts, *rest][:KNOWN_ANSWERS]]
