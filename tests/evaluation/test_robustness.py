"""Accuracy on spoilt images: of a model whose answers are known, its interval beside Wilson's, and the command."""

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from command_line import CommandLine
from lenet_edge.data.corruptions import KINDS, corrupted
from lenet_edge.data.image_data import ImageData
from lenet_edge.evaluation.robustness import drawn_images, measure_corruptions
from lenet_edge.evaluation.statistics import clustered_interval, wilson_interval
from lenet_edge.runs.run import Run
from lenet_edge_runtime.errors import DataError
from trained_runs import exported

DARK = 40  # grey levels: in the mean, one of the digits here is darker than that, and brightness is above


def bright_is_one(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Answers 1 for an image whose mean is above DARK, else 0."""
    bright = pixels.mean(axis=(1, 2, 3)) > DARK
    return np.stack([~bright, bright, *[np.zeros_like(bright)] * 8], 1).astype(np.float32)


def test_scores_follow_their_definitions(digits: ImageData) -> None:
    found = measure_corruptions(bright_is_one, digits, per_kind=50)
    pixels, labels = drawn_images(digits, 50)
    assert (len(pixels), found.images, [row.kind for row in found.kinds]) == (50, 50, list(KINDS))
    for row in found.kinds:
        right = int((bright_is_one(corrupted(pixels, row.kind)).argmax(1) == labels).sum())
        assert (row.accuracy, row.accuracy_ci95) == (right / 50, wilson_interval(right, 50))
    assert found.accuracy == pytest.approx(np.mean([row.accuracy for row in found.kinds]))
    assert found.accuracy_ci95[0] < found.accuracy < found.accuracy_ci95[1]
    assert found.clean_accuracy == (bright_is_one(pixels).argmax(1) == labels).mean()


def test_images_are_drawn_once_and_no_more_than_there_are(digits: ImageData) -> None:
    some, _ = drawn_images(digits, 100)
    assert len(np.unique(some.reshape(100, -1), axis=0)) == 100
    every, labels = drawn_images(digits, 10_000)
    np.testing.assert_array_equal(every, digits.test_pixels)
    np.testing.assert_array_equal(labels, digits.test_labels)


def test_interval_of_trials_that_all_go_alike_is_that_of_the_clusters() -> None:
    alike = np.repeat([1.0, 0.0], [70, 30])
    assert clustered_interval(alike, 15) == pytest.approx(wilson_interval(70, 100), abs=0.001)
    assert clustered_interval(np.ones(40), 15) == wilson_interval(40, 40)


def test_interval_of_independent_trials_is_that_of_all_of_them() -> None:
    shares = np.random.default_rng(0).binomial(15, 0.8, 400) / 15
    wanted = wilson_interval(shares.mean() * 6000, 6000)
    assert clustered_interval(shares, 15) == pytest.approx(wanted, abs=0.002)


def test_images_in_colour_are_refused(digits: ImageData) -> None:
    colour = replace(digits, test_pixels=digits.test_pixels.repeat(3, axis=1))
    with pytest.raises(DataError, match=r"with 3 channel\(s\): leave out --corruptions"):
        measure_corruptions(bright_is_one, colour)


# --- the command ---------------------------------------------------------------------------------------------------


def test_command_on_a_file(cli: CommandLine, digits_run: Run) -> None:
    file = exported(digits_run, "int8")
    document = json.loads(cli("evaluate", file, "--corruptions", "--per-kind", "60", "--json").stdout)
    found = document["corruptions"]
    assert set(found) == {"images", "seed", "accuracy", "accuracy_ci95", "clean_accuracy", "kinds"}
    assert all(set(row) == {"kind", "accuracy", "accuracy_ci95"} for row in found["kinds"])
    assert 0.3 < found["accuracy"] < found["clean_accuracy"]
    text = cli("evaluate", file, "--corruptions", "--per-kind", "60").stdout
    assert "15 kinds of MNIST-C" in text
    assert all(f"\n {kind} " in text or f"\n{kind} " in text for kind in KINDS)


def test_without_the_option_nothing_is_spoilt(cli: CommandLine, digits_run: Run) -> None:
    assert json.loads(cli("evaluate", exported(digits_run, "int8"), "--json").stdout)["corruptions"] is None
    refused = cli("evaluate", exported(digits_run, "int8"), "--per-kind", "5")
    assert refused.exit_code == 2
    assert "--per-kind goes with --corruptions" in " ".join(refused.stderr.split())
