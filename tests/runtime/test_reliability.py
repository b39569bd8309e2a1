"""What an app needs of the runtime over weeks: no leak, no race, and no file that ends it.

The longer runs are marked slow: `pytest -m slow tests/runtime/test_reliability.py`.
"""

import gc
import io
import json
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import CommandLine
from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.run import Run
from lenet_edge_runtime import Classifier, LenetEdgeError, ModelFileError, engines
from mutations import mutate
from trained_runs import exported

SUPPORT = Path(__file__).parents[1] / "support"
SEALED = ("onnx", "int8", "ort")

slow = pytest.mark.slow


def resident_bytes() -> int:
    """This process's memory, as the kernel counts it (proc(5))."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc on this system")
@pytest.mark.parametrize("count", [5_000, pytest.param(100_000, marks=slow)])
def test_predictions_leave_nothing_in_memory(count: int, digits_run: Run, digits: ImageData) -> None:
    classifier = Classifier(exported(digits_run, "int8"))
    buffer = io.BytesIO()
    Image.fromarray(digits.test_pixels[0, 0]).save(buffer, "PNG")
    sources = [buffer.getvalue(), digits.test_pixels[1, 0], Image.fromarray(255 - digits.test_pixels[2, 0])]
    for number in range(2000):  # what is allocated once
        classifier.predict(sources[number % 3])
    gc.collect()
    before = resident_bytes()
    for number in range(count):
        classifier.predict(sources[number % 3])
    gc.collect()
    assert resident_bytes() - before < 2_000_000


@pytest.mark.parametrize("calls", [500, pytest.param(50_000, marks=slow)])
@pytest.mark.parametrize("format_name", ["onnx", "int8"])
def test_eight_threads_share_a_session(format_name: str, calls: int, digits_run: Run, digits: ImageData) -> None:
    classifier = Classifier(exported(digits_run, format_name))
    images = digits.test_pixels[:50]
    expected = [classifier.logits(images[i : i + 1]).tobytes() for i in range(len(images))]

    def differing(thread: int) -> int:
        places = ((thread * 7 + call) % len(images) for call in range(calls))
        return sum(classifier.logits(images[i : i + 1]).tobytes() != expected[i] for i in places)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(differing, range(8))) == [0] * 8


def test_eight_threads_read_files_too(digits_run: Run, digits: ImageData) -> None:
    classifier = Classifier(exported(digits_run, "int8"))
    files = []
    for pixels in digits.test_pixels[:20, 0]:
        buffer = io.BytesIO()
        Image.fromarray(pixels).resize((60, 80)).convert("P").save(buffer, "PNG", transparency=b"\xff" * 3)
        files.append(buffer.getvalue())
    expected = [classifier.predict(file) for file in files]
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: [classifier.predict(file) for file in files], range(16)):
            assert found == expected


# --- mutated model files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [350, pytest.param(7000, marks=slow)])
@pytest.mark.parametrize("format_name", SEALED)
def test_mutated_models_never_reach_onnxruntime(
    format_name: str, count: int, digits_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this very process: no byte of a file that was changed is given to onnxruntime, which some would crash."""
    monkeypatch.setattr(engines, "open_content", lambda *_: pytest.fail("a mutated file was opened"))
    content = exported(digits_run, format_name).read_bytes()
    other = exported(digits_run, "onnx").read_bytes()
    generator = np.random.default_rng(0)
    path = tmp_path / exported(digits_run, format_name).name
    for _ in range(count):
        path.write_bytes(mutate(content, other, generator))
        with pytest.raises(
            ModelFileError, match=r"fails its own check|no seal|not an ONNX model|no lenet-edge metadata"
        ):
            Classifier(path)


@pytest.mark.parametrize("command", ["predict", "verify", "bench", "info"])
def test_mutated_models_on_the_command_line(
    command: str, digits_run: Run, digits: ImageData, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "open_content", lambda *_: pytest.fail("a mutated file was opened"))
    Image.fromarray(digits.test_pixels[0, 0]).save("digit.png")
    generator = np.random.default_rng(1)
    for number in range(30):
        source = exported(digits_run, SEALED[number % (2 if command == "info" else 3)])
        path = Path(shutil.copy(source, f"{number}-{source.name}"))
        path.write_bytes(mutate(source.read_bytes(), source.read_bytes(), generator))
        result = cli(command, path, *(["digit.png"] if command == "predict" else []))
        assert result.exit_code in ((0, 1) if command == "info" else (1, 3)), result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        if result.exit_code == 1:
            assert len(result.stderr.strip().splitlines()) == 1


def test_file_without_a_seal_is_opened_when_told_to(digits_run: Run, tmp_path: Path, digits: ImageData) -> None:
    path = exported(digits_run, "int8")
    changed = tmp_path / path.name
    changed.write_bytes(path.read_bytes()[:-1] + b"?")  # the seal itself
    with pytest.raises(LenetEdgeError, match="its seal is broken"):
        Classifier(changed)
    image = digits.test_pixels[0, 0]
    assert Classifier(changed, verify=False).predict(image) == Classifier(path).predict(image)


# --- mutated images ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1000, pytest.param(20_000, marks=slow)])
def test_mutated_images_are_answered_or_refused(count: int, digits_run: Run) -> None:
    """In a process of its own, which a crash in a decoder would end, and with a limit, for a hang."""
    model = exported(digits_run, "int8")
    arguments = [sys.executable, SUPPORT / "image_fuzzing.py", model, str(count), "0"]
    child = subprocess.run(arguments, capture_output=True, text=True, timeout=60 + count / 10, check=False)
    assert child.returncode == 0, child.stderr[-3000:]
    outcomes = Counter(json.loads(child.stdout))
    assert set(outcomes) == {"refused", "answered"}
    assert outcomes.total() == count
    assert min(outcomes["refused"], outcomes["answered"]) > count // 10  # both kinds were met


def test_mutated_images_on_the_command_line(digits_run: Run, digits: ImageData, cli: CommandLine) -> None:
    generator = np.random.default_rng(2)
    folder = Path("photos")
    folder.mkdir()
    for number in range(60):
        path = folder / f"{number:02d}.{('png', 'jpg', 'tif')[number % 3]}"
        Image.fromarray(digits.test_pixels[number, 0]).save(path)
        path.write_bytes(mutate(path.read_bytes(), path.read_bytes(), generator))
    result = cli("predict", exported(digits_run, "int8"), folder, "--format", "csv")
    *complaints, count = result.stderr.strip().splitlines()
    assert result.exit_code == 1, result.output
    assert len(complaints) + len(result.stdout.splitlines()) - 1 == 60
    assert count == f"{len(complaints)} of 60 files could not be read"
    assert all(line.startswith("lenet-edge: error: photos/") for line in complaints)
