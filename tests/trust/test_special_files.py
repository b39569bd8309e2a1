"""Pipes, devices, sockets, folders and broken links in every place where a path is given: one line, at once."""

import os
import resource
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from command_line import CommandLine
from export_jobs import make_job, written
from lenet_edge.runs.run import Run
from lenet_edge_exporters import open_file
from lenet_edge_runtime import Classifier, ImageError, ModelFileError
from lenet_edge_runtime.foreign_classifier import ForeignClassifier
from lenet_edge_runtime.images import read_image
from lenet_edge_runtime.reading import read_bytes, read_text
from time_limit import at_most

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no named pipes in its file system")

SECONDS = 60.0  # torch alone takes ten to import on a busy machine; a pipe takes for ever
MEMORY = 512 * 2**20  # that a refusal may add


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_link_to_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def make_endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_socket(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # the name of a socket has 108 bytes at most
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(before)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_dangling(path: Path) -> None:
    path.symlink_to("nothing")


KINDS: dict[str, Callable[[Path], None]] = {
    "pipe": make_pipe,
    "link to a pipe": make_link_to_pipe,
    "endless": make_endless,
    "socket": make_socket,
    "folder": make_folder,
    "loop": make_loop,
    "dangling": make_dangling,
}
UNREADABLE = [kind for kind in KINDS if kind != "folder"]

# The name that the special file gets, and a command that is given it as {}; {model} and {image} are real ones.
AS_ARGUMENT = {
    "info": ("x.onnx", "info {}"),
    "verify onnx": ("x.onnx", "verify {}"),
    "verify int8": ("x.int8.onnx", "verify {}"),
    "verify ort": ("x.ort", "verify {}"),
    "verify torchscript": ("x.torchscript.pt", "verify {}"),
    "verify pt2": ("x.pt2", "verify {}"),
    "verify c": ("x-c", "verify {}"),
    "verify wasm": ("x-wasm", "verify {}"),
    "verify --run": ("run", "verify --run {}"),
    "verify --dataset": ("data", "verify {model} --dataset {}"),
    "evaluate": ("x.onnx", "evaluate {} --dataset digits"),
    "evaluate torchscript": ("x.torchscript.pt", "evaluate {} --dataset digits"),
    "evaluate --labels": ("labels.txt", "evaluate {model} --labels {} --dataset digits"),
    "predict model": ("x.onnx", "predict {} {image}"),
    "predict model --no-verify": ("x.onnx", "predict --no-verify {} {image}"),
    "predict image": ("x.png", "predict --no-verify {model} {}"),
    "predict --labels": ("labels.txt", "predict {model} {image} --labels {} --mean 0 --std 1"),
    "predict foreign": ("x.onnx", "predict {} {image} --labels a,b --mean 0 --std 1"),
    "bench": ("x.onnx", "bench {}"),
    "bench --compare": ("x.json", "bench {model} --compare {}"),
    "bench --run": ("run", "bench --run {}"),
    "report": ("run", "report {}"),
    "serve": ("page", "serve {}"),
    "export": ("run", "export {}"),
    "export weights .pth": ("x.pth", "export {} --model lenet5 --dataset digits"),
    "export weights .safetensors": ("x.safetensors", "export {} --model lenet5 --dataset digits"),
    "export --web": ("x.onnx", "export {} --web page"),
    "export --web folder": ("page", "export {model} --web {}"),
    "samples": ("data", "samples {}"),
    "train --dataset": ("data", "train --dataset {}"),
    "train --from": ("run", "train --qat --from {}"),
    "train --resume": ("run", "train --resume --out {}"),
    "compare --dataset": ("data", "compare lenet5 --dataset {}"),
    "train --data-dir": ("data", "train --dataset kmnist --data-dir {}"),
}
# Of these a folder is what is expected, or may be written into; what is in it is another matter.
TAKES_FOLDERS = {"export --web folder", "train --data-dir", "verify c"}
# A file inside a folder that is named by a command.
INSIDE = {
    "run.json": ("run/run.json", "verify --run {folder}/run"),
    "run.json of the latest": ("runs/a/run.json", "export"),
    "local.json": ("run/local.json", "train --resume --out {folder}/run"),
    "wasm folder": ("x-wasm/lenet.json", "verify {folder}/x-wasm"),
    "wasm module": ("x-wasm/lenet.wasm", "verify {folder}/x-wasm"),
    "page's manifest": ("page/files.json", "export {model} --web {folder}/page"),
    "page": ("page/index.html", "serve {folder}/page"),
    "class folder": ("data/a/x.png", "samples {folder}/data"),
    "idx file": ("d/KMNIST/raw/train-images-idx3-ubyte.gz", "samples kmnist --data-dir {folder}/d"),
    "folder of images": ("photos/x.png", "predict --no-verify {model} {folder}/photos"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    job = make_job("lenet5-classic")
    return written(replace(job, provenance={}), "onnx", tmp_path_factory.mktemp("model"))


def refused(cli: CommandLine, command: str, **places: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with at_most(SECONDS):
        words = [word.format(*places.values(), **places) for word in command.split()]
        result = cli(*words)
    assert result.exit_code in (1, 2, 3), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert "Traceback" not in result.output
    errors = [line for line in result.stderr.splitlines() if "rror" in line]
    assert len(errors) <= 1 or result.exit_code == 2, result.stderr
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", AS_ARGUMENT)
def test_special_file_as_an_argument(
    name: str, kind: str, cli: CommandLine, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "folder" and name in TAKES_FOLDERS:
        pytest.skip("a folder is what it takes")
    _no_download(monkeypatch)
    called, command = AS_ARGUMENT[name]
    path, image = tmp_path / "x" / called, tmp_path / "image.png"
    path.parent.mkdir()
    KINDS[kind](path)
    Image.new("L", (28, 28)).save(image)
    refused(cli, command, path=path, model=model, image=image)


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("name", INSIDE)
def test_special_file_inside_a_folder(
    name: str, kind: str, cli: CommandLine, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _no_download(monkeypatch)
    called, command = INSIDE[name]
    path = tmp_path / called
    path.parent.mkdir(parents=True)
    KINDS[kind](path)
    refused(cli, command, path=path, model=model, folder=tmp_path)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("loop", "dangling")])
def test_special_file_is_not_written_over(kind: str, cli: CommandLine, tmp_path: Path, model: Path) -> None:
    path, image = tmp_path / "answers.csv", tmp_path / "image.png"
    Image.new("L", (28, 28)).save(image)
    KINDS[kind](path)
    before = path.stat().st_mode
    refused(cli, "predict --no-verify {model} {image} --out {path}", path=path, model=model, image=image)
    assert path.stat().st_mode == before
    assert not list(tmp_path.glob(".partial-*"))


@pytest.mark.parametrize("kind", KINDS)
def test_special_file_in_python(kind: str, tmp_path: Path) -> None:
    for suffix, opener, error in (
        (".onnx", Classifier, ModelFileError),
        (".so", Classifier, ModelFileError),
        (".onnx", lambda path: Classifier(path, verify=False), ModelFileError),
        (".onnx", lambda path: ForeignClassifier(path, ["a", "b"], [0], [1]), ModelFileError),
        (".pt2", open_file, ModelFileError),
        (".torchscript.pt", open_file, ModelFileError),
        (".png", lambda path: read_image(path, 1), ImageError),
    ):
        path = tmp_path / "x" / f"f{suffix}"
        path.parent.mkdir()
        KINDS[kind](path)
        with at_most(SECONDS), pytest.raises(error, match="f" + suffix.replace(".", r"\.")):
            opener(path)
        shutil.rmtree(path.parent)


@pytest.mark.parametrize("kind", UNREADABLE)
def test_special_file_among_a_run_s(kind: str, tmp_path: Path) -> None:
    """Its weights, its history and its checkpoint."""
    from lenet_edge.networks.models import build_model
    from lenet_edge.networks.recipes import RECIPES
    from lenet_edge.runs.checkpoints import load_state, load_weights
    from lenet_edge.runs.history import read_history
    from lenet_edge_runtime.errors import RunError, WeightsError

    run, net = Run(tmp_path), build_model(RECIPES["lenet5"].model)
    for path, opener, error in (
        (run.weights_path, lambda: load_weights(run.weights_path, net), WeightsError),
        (run.checkpoint_path, lambda: load_state(run.checkpoint_path), RunError),
        (run.history_path, lambda: read_history(run), RunError),
    ):
        KINDS[kind](path)
        with at_most(SECONDS), pytest.raises(error):
            opener()
        (tmp_path / "pipe").unlink(missing_ok=True)


def test_reading_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"ab\r\ncd")
    assert read_bytes(path, 6) == b"ab\r\ncd"
    assert read_text(path) == "ab\ncd"
    with pytest.raises(OSError, match="larger than 0 MiB"):
        read_bytes(path, 5)
    if Path("/proc/self/environ").exists():  # a regular file that says it has no bytes
        with pytest.raises(OSError, match="larger than"):
            read_bytes("/proc/self/environ", 3)


def _no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not here stays away: a download that fails as it does without a network."""
    from torchvision import datasets

    def fails(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    for name in ("MNIST", "FashionMNIST", "KMNIST"):
        monkeypatch.setattr(datasets, name, fails)
