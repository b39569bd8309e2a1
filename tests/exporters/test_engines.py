"""Engines that we did not write, on our ONNX files: OpenVINO and OpenCV give onnxruntime's classes and its logits.

In int8 both round a sum to another code than onnxruntime where it lies within a rounding of a tie (`int8.ties`): few
images.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export_jobs import make_job
from lenet_edge.data.datasets import load_dataset
from lenet_edge.data.image_data import ImageData
from lenet_edge_exporters import ExportJob, int8, onnx
from lenet_edge_runtime import Classifier
from trained_runs import briefly_trained

FORMATS: dict[str, Callable[[ExportJob], bytes]] = {"onnx": onnx.export, "int8": int8.export}
TOLERANCE = 1e-5  # of the greatest logit; what is left is the last layer's float32
OFF = {"onnx": 0.0, "int8": 0.1}  # share of images with a code that is rounded otherwise
STEP = 0.01  # of the greatest logit, which such a code may make


def by_openvino(path: Path, pixels: np.ndarray) -> np.ndarray:
    openvino = pytest.importorskip("openvino", reason="the extra engines is not installed: pip install -e '.[engines]'")
    core = openvino.Core()
    model = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([model(image[None])[0] for image in pixels])


def by_opencv(path: Path, pixels: np.ndarray) -> np.ndarray:
    cv2 = pytest.importorskip("cv2", reason="the extra engines is not installed: pip install -e '.[engines]'")
    net = cv2.dnn.readNetFromONNX(str(path))
    net.setInput(pixels)
    return np.asarray(net.forward("logits"))


ENGINES: dict[str, Callable[[Path, np.ndarray], np.ndarray]] = {"openvino": by_openvino, "opencv": by_opencv}


def check_like_onnxruntime(job: ExportJob, pixels: np.ndarray, name: str, engine: str, folder: Path) -> None:
    path = folder / "net.onnx"
    path.write_bytes(FORMATS[name](job))
    expected = Classifier(path, verify=False).logits(pixels)
    found = ENGINES[engine](path, pixels)
    assert np.array_equal(found.argmax(1), expected.argmax(1))
    off = np.abs(found - expected).max(1) / np.abs(expected).max()
    assert (off > TOLERANCE).mean() <= OFF[name]
    assert off.max() <= STEP


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("recipe", ["lenet5", "lenet5-classic", "fashion-cnn", "images-cnn"])
def test_every_recipe_in_float32(recipe: str, engine: str, tmp_path: Path) -> None:
    job = make_job(recipe)
    check_like_onnxruntime(job, job.check_pixels[:20], "onnx", engine, tmp_path)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("recipe", ["lenet5", "fashion-cnn", "digits-cnn"])
def test_relu_nets_in_int8(recipe: str, engine: str, digits: ImageData, tmp_path: Path) -> None:
    check_like_onnxruntime(briefly_trained(digits, recipe), digits.test_pixels[:200], "int8", engine, tmp_path)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
def test_official_test_images(dataset: str, name: str, engine: str, real_data: Path, tmp_path: Path) -> None:
    data = load_dataset(dataset, real_data)
    check_like_onnxruntime(briefly_trained(data, "lenet5"), data.test_pixels[:2000], name, engine, tmp_path)
