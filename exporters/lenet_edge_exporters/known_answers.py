"""Images whose logits travel with an exported network, so that it can prove itself elsewhere."""

from __future__ import annotations

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
    """Known-answer images, in 16 greys for a small file: diverse, so that few faults leave all logits as they are.

    Of every predicted class the one nearest to the decision boundary, then again and again the one whose logits lie
    furthest from those of all chosen ones (`benchmarks/known_answer_faults.py` measures what they find).
    """
    pixels = pixels & np.uint8(0xF0)
    logits = model.logits(pixels).astype(np.float64)
    predicted, ordered = logits.argmax(1), np.sort(logits, 1)
    margins = ordered[:, -1] - ordered[:, -2]
    chosen = [int(min(np.flatnonzero(predicted == label), key=margins.__getitem__)) for label in np.unique(predicted)]
    nearest = np.min([_distances(logits, index) for index in chosen], axis=0)
    while len(chosen) < min(KNOWN_ANSWERS, len(pixels)):
        nearest[chosen] = -1  # so that none is taken twice where logits are equal
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, _distances(logits, chosen[-1]))
    return pixels[chosen[:KNOWN_ANSWERS]]


def _distances(logits: NDArray[np.float64], index: int) -> NDArray[np.float64]:
    """How far the logits of every image lie from those of one."""
    return np.asarray(np.linalg.norm(logits - logits[index], axis=1))
