"""The default ONNX files in the oldest onnxruntime that pip finds for this Python: they load and answer the same."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.run import Run
from lenet_edge_exporters import open_file
from trained_runs import exported

TIMEOUT = 120  # seconds for each call of pip; onnxruntime and numpy of that age are 24 MB together
FIRST_FOR_NUMPY_2 = (1, 19)

# Plain onnxruntime, without lenet-edge: what an app with that version would do.
SCRIPT = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
(logits,) = session.run(["logits"], {"pixels": numpy.load(sys.argv[2])})
numpy.save(sys.argv[3], logits)
print(onnxruntime.__version__)
"""


@dataclass(frozen=True)
class OldRuntime:
    """An onnxruntime and its numpy in a folder of their own."""

    version: str
    packages: Path

    def logits(self, model: Path, pixels: np.ndarray, folder: Path) -> np.ndarray:
        """Run a file in a process that sees the standard library and this folder, and nothing else (-S)."""
        given, answer = folder / "pixels.npy", folder / "logits.npy"
        np.save(given, pixels)
        result = subprocess.run(
            [sys.executable, "-S", "-c", SCRIPT, model, given, answer],
            env={**os.environ, "PYTHONPATH": str(self.packages)},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout.strip() == self.version
        return np.load(answer)


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> OldRuntime:
    listed = re.search(r"Available versions: (.+)", pip("index", "versions", "onnxruntime"))
    assert listed is not None
    version = listed[1].split(",")[-1].strip()
    numbers = tuple(int(part) for part in version.split(".")[:2])
    numpy = "numpy" if numbers >= FIRST_FOR_NUMPY_2 else "numpy<2"
    folder = tmp_path_factory.mktemp("packages")
    pip("install", "--no-deps", "--only-binary=:all:", "--target", str(folder), f"onnxruntime=={version}", numpy)
    return OldRuntime(version, folder)


def pip(*arguments: str) -> str:
    """Run pip and return its stdout; skip the test where it is not there or gets nothing."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "1", "--timeout", "10"]
    try:
        result = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        pytest.skip(f"pip cannot get an old onnxruntime within {TIMEOUT} s")
    if result.returncode != 0:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"pip cannot get an old onnxruntime ({reason})")
    return result.stdout


@pytest.mark.parametrize("run", ["digits_run", "classic_run"])
@pytest.mark.parametrize("format_name", ["onnx", "int8"])
def test_same_answers(
    format_name: str, run: str, oldest: OldRuntime, digits: ImageData, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found: Run = request.getfixturevalue(run)
    path = exported(found, format_name)
    logits = oldest.logits(path, digits.test_pixels, tmp_path)
    _, model = open_file(path, verify=False)
    current = model.logits(digits.test_pixels)
    if format_name == "int8":
        np.testing.assert_array_equal(logits, current)
    else:
        np.testing.assert_allclose(logits, current, atol=1e-4)
