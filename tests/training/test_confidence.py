"""Probabilities, thresholds and sets of labels: against definitions, SciPy's optimiser and scikit-learn."""

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import optimize
from scipy.special import log_softmax, logsumexp
from sklearn import metrics
from sklearn.calibration import calibration_curve
from torch import nn

from command_line import CommandLine
from export_jobs import GREY_SPEC
from lenet_edge.data.image_data import ImageData
from lenet_edge.evaluation.calibration import BINS, measure_calibration
from lenet_edge.networks.architectures import OwnNetConfig
from lenet_edge.networks.models import Network, build_model
from lenet_edge.networks.recipes import RECIPES
from lenet_edge.runs.run import Run
from lenet_edge.training.confidence import described_confidence, find_temperature, fold_temperature
from lenet_edge_runtime import Classifier, ModelSpec, softmax
from lenet_edge_runtime.answers import are_known, label_sets, log_sum_exp
from trained_runs import exported

RNG = np.random.default_rng(3)


def answers(count: int, sharpness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a classifier whose true probabilities are the softmax of logits / sharpness, and labels drawn so."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (count, 10))
    labels = np.array([generator.choice(10, p=row) for row in softmax(logits)])
    return (sharpness * logits).astype(np.float32), labels


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 2.5])
def test_temperature_is_the_likeliest(sharpness: float) -> None:
    logits, labels = answers(5000, sharpness)
    found = find_temperature(logits, labels)
    assert found == pytest.approx(sharpness, rel=0.05)

    def loss(temperature: float) -> float:
        return -log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels].mean()

    assert found == pytest.approx(optimize.minimize_scalar(loss, bounds=(0.05, 10), method="bounded").x, rel=0.02)
    assert measure_calibration(softmax(logits / np.float32(found)), labels).ece < 0.02


def test_few_images_that_are_all_right_do_not_make_certain() -> None:
    labels = np.arange(30) % 10
    temperature = find_temperature(np.eye(10, dtype=np.float32)[labels] * 5, labels)
    confidence = softmax(np.eye(10, dtype=np.float32)[labels] * 5 / np.float32(temperature)).max(1)
    assert confidence.max() == pytest.approx(1 - 0.9 / 32, abs=0.01)  # Platt's target


@pytest.mark.parametrize("name", RECIPES)
def test_folding_divides_the_logits_of_every_net(name: str) -> None:
    recipe = RECIPES[name]
    net = build_model(recipe.model).eval()
    size = recipe.model.size
    images = torch.randn(4, recipe.model.channels, size, size)
    before = net(images)
    fold_temperature(net, 0.5)
    torch.testing.assert_close(net(images), before * 2)


class Tied(nn.Module):
    """A dense layer that is run twice: no number of it scales the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 64)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.layer(torch.tanh(self.layer(images.flatten(1))))
        return hidden


class OtherOrder(nn.Module):
    """The layer that gives the logits is made first."""

    def __init__(self) -> None:
        super().__init__()
        self.output, self.first = nn.Linear(20, 10), nn.Linear(64, 20)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(torch.tanh(self.first(images.flatten(1))))
        return logits


def convolution_last() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.GELU(), nn.Conv2d(4, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def norm_last() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))


@pytest.mark.parametrize(
    ("make", "folds"), [(OtherOrder, True), (convolution_last, True), (norm_last, True), (Tied, False)]
)
def test_folding_finds_the_layer_that_gives_the_logits(make: Callable[[], nn.Module], folds: bool) -> None:
    torch.manual_seed(0)
    net = Network(OwnNetConfig("net.py:make", size=8), OrderedDict(own=make())).eval()
    images = torch.randn(4, 1, 8, 8)
    before = net(images)
    assert fold_temperature(net, 2.5) is folds
    torch.testing.assert_close(net(images), before / 2.5 if folds else before)


def test_calibration_is_scikit_learns() -> None:
    logits, labels = answers(3000, 1.7)
    probabilities = softmax(logits)
    found = measure_calibration(probabilities, labels)
    named, right = probabilities.max(1), probabilities.argmax(1) == labels
    accuracy, confidence = calibration_curve(right, named, n_bins=BINS)
    np.testing.assert_allclose([row.accuracy for row in found.bins], accuracy)
    np.testing.assert_allclose([row.confidence for row in found.bins], confidence)
    counts = np.array([row.images for row in found.bins])
    assert found.ece == pytest.approx((np.abs(accuracy - confidence) * counts).sum() / 3000)
    assert found.ece_ci95[0] < found.ece < found.ece_ci95[1]
    each = [metrics.brier_score_loss(labels == i, probabilities[:, i]) for i in range(10)]
    assert found.brier == pytest.approx(sum(each))


def test_threshold_and_sets_keep_what_they_promise() -> None:
    spec = described_confidence(GREY_SPEC, *answers(5000, 1.0, 1))
    fresh, labels = answers(20_000, 1.0, 2)
    assert are_known(fresh, spec).mean() == pytest.approx(0.99, abs=0.003)
    for level, _ in spec.coverage:
        sets = label_sets(softmax(fresh), spec, level)
        held = np.mean([spec.labels[label] in row for label, row in zip(labels, sets, strict=True)])
        assert held == pytest.approx(level, abs=0.012)
        assert all(row[0] == spec.labels[i] for row, i in zip(sets, fresh.argmax(1), strict=True))
    assert ModelSpec.from_metadata(spec.to_metadata()) == spec
    assert are_known(fresh, replace(spec, threshold=None)).all()


def test_log_sum_exp_is_scipys() -> None:
    logits = RNG.normal(0, 500, (50, 7)).astype(np.float32)
    np.testing.assert_allclose(log_sum_exp(logits), logsumexp(logits.astype(float), axis=1))


def test_formats_say_alike_what_they_know(digits_run: Run, digits: ImageData) -> None:
    record = digits_run.read()
    assert record.spec.threshold is not None
    assert 0.05 < record.metrics["temperature"] < 20
    for name in ("onnx", "int8"):
        classifier = Classifier(exported(digits_run, name))
        assert classifier.spec == record.spec
        found = classifier.predict_batch(digits.test_pixels[:200, 0])
        known = are_known(classifier.logits(digits.test_pixels[:200]), classifier.spec)
        assert known.mean() > 0.9
        assert len(found) == 200


def test_predict_abstains_and_gives_sets(digits_run: Run, digits: ImageData, cli: CommandLine) -> None:
    from PIL import Image

    model = exported(digits_run, "int8")
    Image.fromarray(np.kron(digits.test_pixels[0, 0], np.ones((3, 3), np.uint8))).save("digit.png")
    Image.fromarray(RNG.integers(0, 256, (28, 28), np.uint8)).save("noise.png")
    found = json.loads(cli("predict", model, "digit.png", "--json", "--coverage", "0.99").stdout)
    assert found[0]["known"] in (True, False)
    assert found[0]["labels"][0] == found[0]["label"]
    assert "labels" not in json.loads(cli("predict", model, "digit.png", "--json").stdout)[0]
    refused = cli("predict", model, "digit.png", "--coverage", "0.97")
    assert refused.exit_code == 2
    assert "0.95, 0.98, 0.99" in refused.stderr
    for path in ("digit.png", "noise.png"):
        answer = json.loads(cli("predict", model, path, "--json", "--abstain").stdout)[0]
        assert (answer["label"] == "none") is not answer["known"]
