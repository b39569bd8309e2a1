"""What a caller of the Python API gets wrong: one typed error that says what to do instead."""

import copy
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export_jobs import make_job
from lenet_edge_exporters import FORMATS
from lenet_edge_runtime import Classifier, ImageError, LenetEdgeError, ModelFileError
from lenet_edge_runtime.errors import ArgumentError
from lenet_edge_runtime.sessions import MOST_THREADS


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    job = replace(make_job("lenet5-classic"), provenance={})
    row, path = FORMATS["onnx"], tmp_path_factory.mktemp("api") / "net.onnx"
    assert row.seal
    path.write_bytes(row.export(job))
    path.write_bytes(row.seal(path.read_bytes(), job, row.load(path, 1), None))
    return path


@pytest.fixture(scope="module")
def classifier(path: Path) -> Classifier:
    return Classifier(path)


@pytest.mark.parametrize("threads", [100_000, 2**40, MOST_THREADS + 1, 0, -1, True, 1.5, "2", None])
def test_threads_are_those_of_the_machine(threads: Any, path: Path) -> None:
    with pytest.raises(ArgumentError, match=rf"from 1 to {MOST_THREADS}, the processors of this machine; got"):
        Classifier(path, threads=threads)
    assert (os.cpu_count() or 1) <= MOST_THREADS
    Classifier(path, threads=MOST_THREADS)


@pytest.mark.parametrize(
    "pixels",
    [
        [[0] * 28] * 28,
        None,
        "image.png",
        3,
        b"",
        (),
        np.zeros((1, 1, 28, 28)),
        np.zeros((28, 28), np.uint8),
        np.zeros((1, 1, 28, 27), np.uint8),
        np.zeros((), np.uint8),
        np.array([object()]),
        np.zeros((1, 28, 28, 1), np.uint8),
        np.zeros((0, 1, 28, 27), np.uint8),
    ],
)
def test_logits_take_pixels_alone(pixels: Any, classifier: Classifier) -> None:
    with pytest.raises(ArgumentError, match=r"expected .*uint8 \[n, 1, 28, 28\].*, got"):
        classifier.logits(pixels)
    with pytest.raises(ValueError, match="expected"):  # as before there was a type of ours
        classifier.logits(pixels)


NO_IMAGES: dict[str, Any] = {
    "0 x 0 picture": Image.new("L", (0, 0)),
    "0 x 5 picture": Image.new("RGB", (0, 5)),
    "0 x 0 array": np.zeros((0, 0), np.uint8),
    "empty array": np.zeros((28, 0, 3), np.uint8),
    "masked NaN": np.ma.masked_invalid(np.array([[0.5, np.nan], [0.1, 0.2]])),
    "masked bytes": np.ma.array(np.zeros((28, 28), np.uint8), mask=np.eye(28, dtype=bool)),
    "NaN": np.full((28, 28), np.nan),
    "infinity": np.full((28, 28), np.inf, np.float32),
    "above 1": np.full((28, 28), 255.0),
    "complex": np.zeros((28, 28), complex),
    "text": np.array([["a", "b"]]),
    "objects": np.array([[None, 1]], dtype=object),
    "times": np.zeros((28, 28), "datetime64[s]"),
    "bool": np.zeros((28, 28), bool),
    "record": np.zeros((28, 28), [("a", "u1")]),
    "list": [[0, 1], [1, 0]],
    "number": 7,
    "none": None,
    "missing": "nothing.png",
    "zero byte": "a\0b.png",
    "long name": "x" * 5000 + ".png",
    "empty name": "",
    "no bytes": b"",
    "other bytes": b"GIF89a",
    "open file": open,
}


@pytest.mark.parametrize("name", NO_IMAGES)
def test_what_is_no_image(name: str, classifier: Classifier) -> None:
    with pytest.raises(ImageError):
        classifier.predict(NO_IMAGES[name])
    with pytest.raises(ImageError):
        classifier.predict_batch([np.zeros((28, 28), np.uint8), NO_IMAGES[name]])


def test_masked_array_without_a_mask_is_an_image(classifier: Classifier) -> None:
    plain = np.arange(784, dtype=np.uint8).reshape(28, 28)
    assert classifier.predict(np.ma.array(plain)) == classifier.predict(plain)


@pytest.mark.parametrize(
    "images", ["photo.png", b"\x89PNG", bytearray(b"x"), Path("photo.png"), None, 3, Image.new("L", (28, 28)), {"a": 1}]
)
def test_a_batch_is_a_list(images: Any, classifier: Classifier) -> None:
    with pytest.raises(ImageError, match=r"predict_batch takes a list of images, got \w+; predict takes one image"):
        classifier.predict_batch(images)


@pytest.mark.parametrize("invert", [np.True_, np.False_, True, False, "auto"])
def test_invert_by_numpy_is_invert(invert: Any, classifier: Classifier) -> None:
    image = np.zeros((28, 28), np.uint8)
    image[10:18, 10:18] = 200
    found = classifier.predict(image, invert=invert)
    assert found.inverted is (invert != "auto" and bool(invert))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("invert", "yes"),
        ("invert", 1),
        ("invert", None),
        ("invert", np.array([True, False])),
        ("fit", "mnst"),
        ("fit", None),
        ("fit", True),
        ("fit", ["mnist"]),
    ],
)
def test_other_options_are_refused(option: str, value: Any, classifier: Classifier) -> None:
    with pytest.raises(ArgumentError, match=f"{option} is "):
        classifier.predict(np.zeros((20, 28), np.uint8), **{option: value})


def test_close_gives_back_and_says_so(path: Path) -> None:
    image = np.zeros((28, 28), np.uint8)
    with Classifier(path) as classifier:
        first = classifier.predict(image)
        assert classifier.spec.labels
    for call in (
        lambda: classifier.predict(image),
        lambda: classifier.logits(image[None, None]),
        lambda: classifier.bind(image[None, None])(),
        classifier.prove,
    ):
        with pytest.raises(ModelFileError, match="was closed: open it again by Classifier"):
            call()
    classifier.close()
    assert Classifier(path).predict(image) == first


def test_an_error_inside_closes_it_too(path: Path) -> None:
    with pytest.raises(RuntimeError, match="mine"), Classifier(path) as classifier:
        raise RuntimeError("mine")
    with pytest.raises(ModelFileError, match="was closed"):
        classifier.predict(np.zeros((28, 28), np.uint8))


@pytest.mark.parametrize("copier", [pickle.dumps, copy.copy, copy.deepcopy])
def test_pickling_says_what_to_do_instead(copier: Any, classifier: Classifier, path: Path) -> None:
    with pytest.raises(TypeError, match=r"cannot be pickled or copied: give the other process the path, .*net\.onnx"):
        copier(classifier)


def test_closing_while_others_predict(path: Path) -> None:
    """Whoever comes too late gets the error, nobody a crash."""
    image = np.zeros((28, 28), np.uint8)
    for _ in range(20):
        classifier = Classifier(path, verify=False)

        def call(classifier: Classifier = classifier) -> bool:
            try:
                return bool(classifier.predict(image).label)
            except LenetEdgeError:
                return False

        with ThreadPoolExecutor(4) as pool:
            answers = [pool.submit(call) for _ in range(40)]
            classifier.close()
            assert all(isinstance(answer.result(), bool) for answer in answers)


@pytest.mark.slow
def test_anything_at_length(classifier: Classifier) -> None:
    """Random arrays of random types and shapes: an answer, or an error of ours."""
    generator, ends = np.random.default_rng(0), {"answered": 0, "refused": 0}
    kinds = ["u1", "i1", "u2", "i4", "f2", "f4", "f8", "?", "c8", "O", "U3", "S3", "m8[s]"]
    for _ in range(20_000):
        shape = tuple(generator.integers(0, 40, size=generator.integers(0, 5)))
        kind = str(generator.choice(kinds))
        array = np.zeros(shape, kind)
        if kind[0] in "uif" and array.size:
            with np.errstate(all="ignore"):  # 16-bit floats end at 65504
                array = (generator.random(shape) * generator.choice([1, 255, -1, 1e6])).astype(kind, casting="unsafe")
            if kind[0] == "f" and generator.random() < 0.2:
                array.flat[0] = generator.choice([np.nan, np.inf, -np.inf])
        if generator.random() < 0.1:
            array = np.ma.masked_array(array, mask=generator.random(shape) < 0.1)
        for call in (classifier.predict, classifier.predict_batch, classifier.logits):
            try:
                call(array)  # type: ignore[operator]
                ends["answered"] += 1
            except LenetEdgeError:
                ends["refused"] += 1
    print(f"\nanything as an image: {ends}, 0 failures")  # noqa: T201
