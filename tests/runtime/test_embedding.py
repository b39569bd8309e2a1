"""The programs of docs/embed.md: verbatim, run, and equal to the last bit of their logits."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.run import Run
from lenet_edge.web.onnxruntime_web import PACKAGE
from lenet_edge_runtime import Classifier
from trained_runs import exported

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
FENCES = {"embed.py": "python", "embed.mjs": "js", "embed.cpp": "cpp"}


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def python(_: Path) -> list[str | Path]:
    return [sys.executable, EXAMPLES / "embed.py"]


def node(folder: Path) -> list[str | Path]:
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    options = ["--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefix", str(folder)]
    installed = subprocess.run([npm, "install", *options, PACKAGE], capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"npm could not install {PACKAGE}: {installed.stderr[:200]}")
    return ["node", shutil.copy(EXAMPLES / "embed.mjs", folder)]


def cpp(folder: Path) -> list[str | Path]:
    home = os.environ.get("ORT_HOME")
    if home is None or shutil.which("g++") is None:
        pytest.skip("ORT_HOME names no C++ release of onnxruntime, or there is no g++: not compiled, not run")
    flags = [f"-I{home}/include", f"-L{home}/lib", "-lonnxruntime", f"-Wl,-rpath,{home}/lib"]
    run("g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", EXAMPLES / "embed.cpp", *flags, "-o", folder / "embed")
    return [folder / "embed"]


@pytest.mark.parametrize("made", [python, node, cpp], ids=lambda function: function.__name__)
def test_program_gives_the_files_own_logits(made, tmp_path: Path, digits_run: Run, digits: ImageData) -> None:
    model = exported(digits_run, "int8")
    command = made(tmp_path)
    classifier = Classifier(model)
    for index in (0, 7):
        pixels = digits.test_pixels[index]
        path = tmp_path / "digit.pgm"
        Image.fromarray(pixels[0]).save(path)
        first, second = run(*command, model, path).splitlines()
        prediction = classifier.predict(pixels[0], fit="resize")  # as the program takes them: already 28 x 28
        assert first.startswith(f"class {prediction.index} probability ")
        assert float(first.split()[-1]) == pytest.approx(prediction.probability, rel=1e-5)
        logits = np.array(second.split()[1:], np.float32)
        np.testing.assert_array_equal(logits.view(np.uint32), classifier.logits(pixels[None])[0].view(np.uint32))


@pytest.mark.parametrize("name", FENCES)
def test_page_has_the_program_word_for_word(name: str) -> None:
    program = (EXAMPLES / name).read_text(encoding="utf-8")
    assert f"```{FENCES[name]}\n{program}```\n" in (ROOT / "docs" / "embed.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FENCES)
def test_program_is_short_and_knows_nothing_of_preprocessing(name: str) -> None:
    program = (EXAMPLES / name).read_text(encoding="utf-8")
    assert len(program.splitlines()) <= 40
    assert not re.search(r"mean|std(?!::|=|io|int)|0\.13|0\.30|255|resize|lenet_edge", program)


def test_node_program_names_the_pinned_version() -> None:
    assert f"npm install {PACKAGE}\n" in (EXAMPLES / "embed.mjs").read_text(encoding="utf-8")
