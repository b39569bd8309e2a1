"""Metrics against their definitions, and the command on a run and on files of every format."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from command_line import CommandLine
from lenet_edge.data.image_data import ImageData
from lenet_edge.evaluation.evaluation import evaluate, most_frequent_confusions, score
from lenet_edge.evaluation.statistics import wilson_interval
from lenet_edge.runs.run import Run
from lenet_edge_runtime.errors import DataError, ModelFileError
from lenet_edge_runtime.spec import ModelSpec
from trained_runs import EVERYWHERE, exported

NAMES = ("ant", "bee", "cat", "dog")
KEYS = {
    "accuracy", "accuracy_ci95", "per_class", "macro", "weighted", "auc_roc", "log_loss", "confusion_matrix",
    "mistakes", "model", "format", "dataset", "images", "calibration", "corruptions",
    "sets",
}  # fmt: skip
CLASS_KEYS = {"label", "accuracy", "precision", "recall", "f1", "support"}


class Answers:
    """A model that gives the same logits whatever it sees."""

    metadata: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, logits: NDArray[np.float32]) -> None:
        self._logits = logits

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._logits

    def bind(self, pixels: NDArray[np.uint8]) -> None:
        raise NotImplementedError


@pytest.fixture
def random_case() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    generator = np.random.default_rng(3)
    labels = generator.choice(4, size=400, p=[0.55, 0.25, 0.15, 0.05])
    logits = generator.normal(size=(400, 4)).astype(np.float32)
    logits[np.arange(400), labels] += 1.2
    return logits, labels


def area_under_roc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """The share of pairs of a positive and a negative that are in the right order (Mann and Whitney 1947)."""
    difference = scores[positive][:, None] - scores[~positive][None]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def test_metrics_follow_their_definitions(random_case: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    logits, labels = random_case
    found = score(logits, labels, NAMES, "a model", "onnx", "animals")
    predicted = logits.argmax(1)
    exponentials = np.exp(logits.astype(np.float64))
    probabilities = exponentials / exponentials.sum(1, keepdims=True)
    matrix = np.array([[((labels == i) & (predicted == j)).sum() for j in range(4)] for i in range(4)])
    assert found.confusion_matrix == matrix.tolist()
    assert found.accuracy == np.trace(matrix) / 400
    assert found.accuracy_ci95 == wilson_interval(int(np.trace(matrix)), 400)
    support, called, right = matrix.sum(1), matrix.sum(0), np.diag(matrix)
    precision, recall = right / called, right / support
    f1 = 2 * precision * recall / (precision + recall)
    for i, row in enumerate(found.per_class):
        assert (row.label, row.support) == (NAMES[i], support[i])
        assert (row.precision, row.recall, row.f1) == pytest.approx((precision[i], recall[i], f1[i]))
        assert row.accuracy == row.recall
    for kind, weights in (("macro", np.full(4, 0.25)), ("weighted", support / 400)):
        assert list(asdict(getattr(found, kind)).values()) == pytest.approx(
            [float(values @ weights) for values in (precision, recall, f1)]
        )
    assert found.auc_roc == pytest.approx(
        np.mean([area_under_roc(probabilities[:, i], labels == i) for i in range(4)]), abs=1e-12
    )
    assert found.log_loss == pytest.approx(-np.log(probabilities[np.arange(400), labels]).mean(), rel=1e-12)


def test_mistakes_come_by_confidence(random_case: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    logits, labels = random_case
    found = score(logits, labels, NAMES, "a model", "onnx", "animals", mistakes=1000)
    assert sorted(item.index for item in found.mistakes) == np.flatnonzero(logits.argmax(1) != labels).tolist()
    confidences = [item.probability for item in found.mistakes]
    assert confidences == sorted(confidences, reverse=True)
    for item in found.mistakes:
        assert item.true == NAMES[labels[item.index]]
        assert item.predicted == NAMES[logits[item.index].argmax()]
        assert item.true_probability <= item.probability
    assert score(logits, labels, NAMES, "", "", "", mistakes=3).mistakes == found.mistakes[:3]


def test_confusions_by_frequency() -> None:
    logits = np.eye(3, dtype=np.float32)[[0, 1, 1, 1, 2, 0]]
    found = score(logits, np.array([0, 0, 0, 1, 1, 2]), NAMES[:3], "", "", "")
    assert most_frequent_confusions(found) == [("ant", "bee", 2), ("bee", "cat", 1), ("cat", "ant", 1)]


def test_log_loss_of_a_certain_mistake_is_bounded() -> None:
    """A probability of 0 counts as float64's epsilon: the loss is -ln 2.2e-16, not infinite."""
    logits = np.array([[1000, 0], [0, 1000]], np.float32)
    found = score(logits, np.array([1, 1]), ("no", "yes"), "", "", "")
    assert found.log_loss == pytest.approx(-np.log(np.finfo(np.float64).eps) / 2)


def test_two_classes_and_a_class_that_is_never_called() -> None:
    logits = np.array([[2, 0], [1, 0], [1, 0.5], [3, 0]], np.float32)
    labels = np.array([0, 0, 1, 1])
    found = score(logits, labels, ("no", "yes"), "", "", "")
    assert found.auc_roc == area_under_roc(logits[:, 1].astype(np.float64) - logits[:, 0], labels == 1)
    assert (found.per_class[1].precision, found.per_class[1].recall, found.per_class[1].f1) == (0, 0, 0)


def test_auc_is_none_where_a_class_has_no_image() -> None:
    found = score(np.eye(3, dtype=np.float32), np.array([0, 1, 1]), NAMES[:3], "", "", "")
    assert found.auc_roc is None
    assert found.per_class[2].support == 0
    json.dumps(asdict(found), allow_nan=False)


def test_labels_in_another_order(digits: ImageData) -> None:
    """A file whose labels come in another order is scored by their names."""
    shuffled = tuple(reversed(digits.labels))
    spec = ModelSpec(shuffled, 28, 28, (0.1,), (0.3,))
    perfect = np.eye(10, dtype=np.float32)[9 - digits.test_labels]
    found = evaluate(Answers(perfect), spec, digits, name="theirs", format_name="foreign")
    assert found.accuracy == 1
    assert [row.label for row in found.per_class] == list(digits.labels)


def test_sets_of_labels_are_counted(digits: ImageData) -> None:
    """A set has the classes of which 1 - p is at most the file's quantile, and the likeliest in any case."""
    logits = np.random.default_rng(5).normal(0, 2, (len(digits.test_labels), 10)).astype(np.float32)
    quantiles = ((0.8, 0.7), (0.99, 0.97))
    spec = ModelSpec(tuple(reversed(digits.labels)), 28, 28, (0.1,), (0.3,), coverage=quantiles)
    found = evaluate(Answers(logits[:, ::-1]), spec, digits, name="theirs", format_name="foreign").sets
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(1, keepdims=True)
    everyone = np.arange(len(p))
    assert [row.coverage for row in found] == [0.8, 0.99]
    for row, (_, quantile) in zip(found, quantiles, strict=True):
        inside = p >= 1 - quantile
        inside[everyone, p.argmax(1)] = True
        right = int(inside[everyone, digits.test_labels].sum())
        assert row.held == right / len(p)
        assert row.held_ci95 == wilson_interval(right, len(p))
        assert row.labels == pytest.approx(inside.sum() / len(p))
    assert 0 < found[0].held < found[1].held < 1 < found[0].labels < found[1].labels < 10


def test_what_does_not_fit_is_refused(digits: ImageData) -> None:
    images = len(digits.test_labels)
    other = ModelSpec(NAMES, 28, 28, (0.1,), (0.3,))
    with pytest.raises(DataError, match=r"digits has images .* net takes .* ant, bee, cat, dog: choose another"):
        evaluate(Answers(np.zeros((images, 4), np.float32)), other, digits, name="net", format_name="onnx")
    spec = ModelSpec(digits.labels, 28, 28, (0.1,), (0.3,))
    broken = np.full((images, 10), np.nan, np.float32)
    with pytest.raises(ModelFileError, match="net answers NaN or infinity on digits"):
        evaluate(Answers(broken), spec, digits, name="net", format_name="onnx")


# --- the command ---------------------------------------------------------------------------------------------------


def test_run_and_every_format(cli: CommandLine, digits_run: Run, digits: ImageData) -> None:
    shutil.copytree(digits_run.folder, cli.folder / "runs" / digits_run.name)
    of_run = json.loads(cli("evaluate", "--json").stdout)
    assert set(of_run) == KEYS
    assert all(set(row) == CLASS_KEYS for row in of_run["per_class"])
    assert of_run["accuracy"] == digits_run.read().metrics["test_accuracy"]
    assert (of_run["format"], of_run["dataset"], of_run["images"]) == ("pytorch", "digits", 599)
    assert np.array(of_run["confusion_matrix"]).sum() == len(digits.test_labels)
    for name in EVERYWHERE:
        result = cli("evaluate", exported(digits_run, name), "--json")
        assert result.exit_code == 0, result.output
        of_file = json.loads(result.stdout)
        assert set(of_file) == KEYS
        assert of_file["format"] == name
        if name != "int8":
            assert of_file["confusion_matrix"] == of_run["confusion_matrix"]
            assert of_file["log_loss"] == pytest.approx(of_run["log_loss"], rel=1e-4)


def test_tables_for_people(cli: CommandLine, digits_run: Run) -> None:
    result = cli("evaluate", exported(digits_run, "int8"), "--dataset", "digits", "--mistakes", "2")
    assert result.exit_code == 0, result.output
    for heading in (
        "95 % interval",
        "macro average",
        "weighted average",
        "confusion matrix",
        "most confident mistakes",
    ):
        assert heading in result.stdout
    assert result.stdout.count("no. ") == 2


def test_a_run_may_be_called_like_an_export(cli: CommandLine, digits_run: Run) -> None:
    Path("mine-c").symlink_to(digits_run.folder)
    document = json.loads(cli("evaluate", "mine-c", "--json").stdout)
    assert (document["model"], document["format"]) == ("mine-c", "pytorch")


def test_own_folder_needs_its_run_or_the_dataset(cli: CommandLine, digits_run: Run) -> None:
    """A file says `images` of a user's own folder: without the run nobody knows where that is."""
    from lenet_edge_runtime import onnx_file, proof
    from lenet_edge_runtime.spec import PREFIX

    content = exported(digits_run, "onnx").read_bytes()
    own = {PREFIX + "dataset": '"images"', PREFIX + "weights_sha256": '"0"'}
    assert onnx_file.metadata_of(content)[PREFIX + "dataset"] == '"digits"'
    Path("own.onnx").write_bytes(proof.seal(content, own))
    result = cli("evaluate", "own.onnx")
    assert result.exit_code == 2
    assert "give --dataset" in " ".join(result.stderr.split())
    assert cli("evaluate", "own.onnx", "--dataset", "digits").exit_code == 0


def test_bad_input(cli: CommandLine, digits_run: Run) -> None:
    assert "no run.json" in cli.fails("evaluate", "nowhere")
    assert "nowhere.onnx does not exist" in cli.fails("evaluate", "nowhere.onnx", "--dataset", "digits")
    Path("text.txt").write_text("hello", encoding="utf-8")
    assert "has no known ending" in cli.fails("evaluate", "text.txt", "--dataset", "digits")
    assert cli("evaluate", exported(digits_run, "onnx"), "--labels", "a,b").exit_code == 2


def test_base_install_is_told_what_is_missing(cli: CommandLine, digits_run: Run) -> None:
    code = (
        "import sys; sys.modules['sklearn'] = None; sys.argv = ['lenet-edge', 'evaluate', sys.argv[1]];"
        "from lenet_edge.cli import main; main()"
    )
    command = [sys.executable, "-c", code, str(exported(digits_run, "onnx"))]
    result = subprocess.run(command, capture_output=True, text=True, cwd=cli.folder)
    assert result.returncode == 1
    assert result.stderr.strip() == (
        "lenet-edge: error: this command needs sklearn, which is not installed; type: pip install 'lenet-edge[train]'"
    )
