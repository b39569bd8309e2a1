"""Known-answer images: of every class, near the decision boundary, and far from each other."""

import numpy as np
import pytest

from lenet_edge_exporters.known_answers import KNOWN_ANSWERS, answer_images


class Linear:
    """Logits that are a random linear function of the pixels."""

    def __init__(self, classes: int) -> None:
        self.weights = np.random.default_rng(1).normal(size=(64, classes))

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        return (pixels.reshape(len(pixels), -1) @ self.weights).astype(np.float32)


def images(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)


@pytest.mark.parametrize("classes", [2, 10, 20])
@pytest.mark.parametrize("count", [1, 5, 16, 300])
def test_as_many_as_there_are_each_once_and_of_every_class(count: int, classes: int) -> None:
    model, pixels = Linear(classes), images(count)
    chosen = answer_images(pixels, model)
    assert len(chosen) == min(KNOWN_ANSWERS, count)
    assert len(np.unique(chosen, axis=0)) == len(chosen)
    found = np.unique(model.logits(pixels & 0xF0).argmax(1))
    assert set(model.logits(chosen).argmax(1)) == set(found[:KNOWN_ANSWERS])


def test_of_each_class_the_one_nearest_to_the_boundary() -> None:
    model, pixels = Linear(10), images(300)
    logits = model.logits(pixels & 0xF0)
    ordered = np.sort(logits, 1)
    for image in answer_images(pixels, model)[: len(np.unique(logits.argmax(1)))]:
        mine = np.sort(model.logits(image[None]), 1)[0]
        rivals = logits.argmax(1) == model.logits(image[None]).argmax()
        assert mine[-1] - mine[-2] == pytest.approx((ordered[:, -1] - ordered[:, -2])[rivals].min())


def test_equal_images_are_no_endless_search() -> None:
    assert len(answer_images(np.zeros((40, 1, 8, 8), np.uint8), Linear(10))) == KNOWN_ANSWERS
