"""The line on the official MNIST and Fashion-MNIST files, shortened to what a test run can wait for."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from command_line import CommandLine
from lenet_edge.data.datasets import DATASETS, load_dataset

pytestmark = pytest.mark.real_data

REAL = ("mnist", "fashion-mnist")


@pytest.mark.parametrize("name", REAL)
def test_official_files(name: str, real_data: Path) -> None:
    data = load_dataset(name, real_data)
    assert data.train_pixels.shape == (60_000, 1, 28, 28)
    assert data.test_pixels.shape == (10_000, 1, 28, 28)
    assert data.labels == DATASETS[name].labels
    # The constants that everybody quotes.
    assert (data.mean, data.std) == {
        "mnist": ((0.1307,), (0.3081,)),
        "fashion-mnist": ((0.2860,), (0.3530,)),
    }[name]


@pytest.mark.parametrize("name", REAL)
def test_same_images_as_torchvision(name: str, real_data: Path, tmp_path: Path) -> None:
    from torchvision import datasets

    row = DATASETS[name]
    shutil.copytree(real_data / row.torchvision_name, tmp_path / row.torchvision_name)
    official = getattr(datasets, row.torchvision_name)(tmp_path, train=False, download=True)
    ours = load_dataset(name, real_data)
    np.testing.assert_array_equal(official.data.numpy(), ours.test_pixels[:, 0])
    np.testing.assert_array_equal(official.targets.numpy(), ours.test_labels)


@pytest.mark.parametrize(("name", "accuracy"), [("mnist", 0.97), ("fashion-mnist", 0.80)])
def test_two_epochs_then_export_and_verify(
    name: str, accuracy: float, real_data: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = cli("train", "--dataset", name, "--epochs", "2", "--data-dir", real_data, "--json")
    assert json.loads(trained.stdout)["test_accuracy"] > accuracy
    assert cli("export", "--int8", "--data-dir", real_data).exit_code == 0
    # Two epochs leave many images near a border between classes, which int8 may cross: the gate is wide here.
    verified = json.loads(cli("verify", "--max-drop", "1.0", "--data-dir", real_data, "--json").stdout)
    assert verified["passed"]
    assert [model["agreement"] > 0.98 for model in verified["models"]] == [True] * 3
