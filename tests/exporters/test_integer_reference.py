"""int8 files in NumPy's integers and in onnxruntime: the same bits."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import integer_reference
from lenet_edge.data.datasets import load_dataset
from lenet_edge.data.image_data import ImageData
from lenet_edge_exporters import int8
from lenet_edge_runtime.sessions import open_session
from trained_runs import briefly_trained, exported


def executed(path: Path, pixels: np.ndarray) -> np.ndarray:
    return open_session(path).run(["logits"], {"pixels": pixels})[0]


def without_16_bit_sums(path: Path, pixels: np.ndarray) -> np.ndarray:
    """With onnxruntime's switch against saturation on x86 without VNNI."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"pixels": pixels})[0]


@pytest.mark.parametrize("run", ["digits_run", "classic_run"])
def test_same_bits_on_digits(run: str, digits: ImageData, request: pytest.FixtureRequest) -> None:
    path = exported(request.getfixturevalue(run), "int8")
    assert len(digits.test_pixels) == 599
    expected = integer_reference.logits(path, digits.test_pixels)
    np.testing.assert_array_equal(executed(path, digits.test_pixels), expected)


@pytest.mark.real_data
@pytest.mark.parametrize("recipe", ["lenet5", "lenet5-classic"])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_same_bits_on_all_official_test_images(name: str, recipe: str, real_data: Path, tmp_path: Path) -> None:
    data = load_dataset(name, real_data)
    path = tmp_path / "net.int8.onnx"
    path.write_bytes(int8.export(briefly_trained(data, recipe)))
    logits = executed(path, data.test_pixels)
    assert (logits.argmax(1) == data.test_labels).mean() > 0.6  # else its codes would be no trained net's
    np.testing.assert_array_equal(logits, integer_reference.logits(path, data.test_pixels))
    np.testing.assert_array_equal(logits, without_16_bit_sums(path, data.test_pixels))
