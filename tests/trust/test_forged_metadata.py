"""Metadata that somebody wrote anew behind a valid seal, and damaged files: an answer or one typed error."""

import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from command_line import CommandLine
from export_jobs import make_job
from forgery import ANYTHING, FIELDS, KEYS, changed, forge, forged_value
from hostile_text import is_harmless
from lenet_edge_exporters import FORMATS, open_file, own_files
from lenet_edge_exporters.c import folder, stated, wasm
from lenet_edge_exporters.formats import read_content, sha256_of, write_content
from lenet_edge_runtime import Classifier, LenetEdgeError, ModelFileError, ModelSpec, proof
from lenet_edge_runtime.metadata import of_text, parse, read, whole
from lenet_edge_runtime.spec import PREFIX
from mutations import mutate
from time_limit import at_most

SECONDS = 60.0
ORDINARY = ["onnx", "int8", "ort", "torchscript", "pt2"]
PROVENANCE: dict[str, Any] = {
    "recipe": "lenet5-classic",
    "parameters": 1,
    "dataset": "digits",
    "data_md5s": {"digits": "0" * 32},
    "weights_sha256": "0" * 64,
}
CARD = {
    "dataset": "digits", "split": "test", "images": 599, "accuracy": 0.9, "accuracy_ci95": [0.8, 0.95],
    "pytorch_accuracy": 0.9, "agreement": 1.0, "accuracy_drop_pp": 0.0, "drop_ci95_pp": [-0.1, 0.1], "mcnemar_p": 1.0,
    "max_drop_pp": 0.3,
}  # fmt: skip
FOLDERS = {"c": ("cc",), "wasm": ("clang", "wasm-ld", "node")}  # and what compiles and runs them
Forge = Callable[[Path, str, str | None], Path]


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A sealed file of each format that Python makes, by its name."""
    from dataclasses import replace

    job = replace(make_job("lenet5-classic"), provenance=PROVENANCE)
    place, found = tmp_path_factory.mktemp("whole"), {}
    for name in ORDINARY:
        row = FORMATS[name]
        path = place / f"net{row.suffix}"
        content = row.export(job)
        write_content(path, content)
        if row.seal and isinstance(content, bytes):
            path.write_bytes(row.seal(content, job, row.load(path, 1), CARD))
        found[name] = made_own(path)
    return found


def made_own(path: Path) -> Path:
    """Note a file as this machine's own: what is forged here is its metadata, and not who made it."""
    own_files.remember(sha256_of(read_content(path)))
    return path


def metadata_of(path: Path) -> dict[str, str]:
    return dict(open_file(path, verify=False)[1].metadata) if not path.is_dir() else wasm.read(path)[1]


def use(path: Path, cli: CommandLine, image: Path, *, on_data: bool) -> Counter[str]:
    """Everything that opens a model, on this one; asserts that each ends as it should. `on_data`: on a test set too."""
    ends: Counter[str] = Counter()
    commands: list[tuple[Any, ...]] = [("verify", path)]
    commands += [("evaluate", path, "--dataset", "digits", "--mistakes", "1")] * on_data
    if path.suffix in (".onnx", ".ort"):
        commands += [("info", path), ("info", path, "--json"), ("predict", path, image)]
        commands += [("predict", path, image, "--no-verify", "--format", "jsonl")]
        for verify in (True, False):
            try:
                with at_most(SECONDS):
                    Classifier(path, verify=verify).predict(image)
                ends["answered"] += 1
            except LenetEdgeError:
                ends["refused"] += 1
    for command in commands:
        with at_most(SECONDS):
            result = cli(*command)
        said = f"{command[0]}: {result.output}"
        assert result.exception is None or isinstance(result.exception, SystemExit), (said, result.exception)
        assert result.exit_code in (0, 1, 2, 3), said
        assert sum("lenet-edge: error" in line for line in result.stderr.splitlines()) == (result.exit_code == 1), said
        ends[f"exit {result.exit_code}"] += 1
    return ends


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    Image.new("L", (28, 28)).save(path)
    return path


def fuzz(path: Path, trials: int, seed: int, cli: CommandLine, image: Path) -> Counter[str]:
    generator, metadata, ends = np.random.default_rng(seed), metadata_of(path), Counter[str]()
    for trial in range(trials):
        key, text = forged_value(metadata, generator)
        target = image.parent / f"{trial}-{path.name}"
        try:
            forge(path, target, key, text, generator)
        except UnicodeEncodeError:  # no file can hold it
            continue
        try:
            ends += use(made_own(target), cli, image, on_data=trial % 5 == 0)
        except BaseException:
            print(f"\n{path.name}, {key}: {str(text)[:200]!r}")  # noqa: T201
            raise
        ends["trials"] += 1
        if target.is_file():
            target.unlink()
    return ends


@pytest.mark.parametrize("name", ORDINARY)
def test_forged_metadata(name: str, whole_files: dict[str, Path], cli: CommandLine, image: Path) -> None:
    assert fuzz(whole_files[name], 12 if name in ("torchscript", "pt2") else 30, 0, cli, image)["trials"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ORDINARY)
def test_forged_metadata_at_length(name: str, whole_files: dict[str, Path], cli: CommandLine, image: Path) -> None:
    ends = fuzz(whole_files[name], 100 if name in ("torchscript", "pt2") else 600, 1, cli, image)
    print(f"\nforged metadata, {name}: {dict(ends)}, 0 failures")  # noqa: T201


@pytest.fixture(scope="module")
def whole_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each format that is one, where what compiles and runs it is here."""
    from dataclasses import replace

    job = replace(make_job("lenet5-classic"), provenance=PROVENANCE)
    place, found = tmp_path_factory.mktemp("folders"), {}
    for name, tools in FOLDERS.items():
        row = FORMATS[name]
        if all(map(shutil.which, tools)):
            content = row.export(job)
            assert not isinstance(content, bytes)
            found[name] = place / f"net{row.suffix}"
            write_content(found[name], row.seal_folder(content, CARD) if row.seal_folder else content)
    return found


def forged_folders(name: str, trials: int, seed: int, folders: dict[str, Path], cli: CommandLine) -> Counter[str]:
    """`verify --trust` on forged folders of others: refused before anything runs, or run to one of its ends.

    A compiler that says so in a file shows whether anything was compiled, a Node that says so whether it ran.
    """
    if name not in folders:
        pytest.skip(f"{', '.join(FOLDERS[name])} have to be installed")
    generator, ends, ran = np.random.default_rng(seed), Counter[str](), cli.folder / "ran"
    metadata = stated.read_c(folders[name]) if name == "c" else wasm.read(folders[name])[1]
    for trial in range(trials):
        key, text = forged_value(metadata, generator)
        target = cli.folder / f"{trial}{FORMATS[name].suffix}"
        try:
            forge(folders[name], target, key, text, generator)
        except UnicodeEncodeError:  # no file can hold it
            continue
        ran.unlink(missing_ok=True)
        with at_most(SECONDS):
            result = cli("verify", target, "--trust", *(("--dataset", "digits") if trial % 5 == 0 else ()))
        said = f"{key}: {str(text)[:200]!r}: {result.output}"
        assert result.exception is None or isinstance(result.exception, SystemExit), (said, result.exception)
        assert is_harmless(result.output), said
        (error,) = [line for line in result.stderr.splitlines() if "lenet-edge: error" in line]
        refused = "is of a format that carries no evidence" not in error
        assert refused != ran.exists(), said
        ends["refused unopened" if refused else "run"] += 1
        shutil.rmtree(target)
    return ends


@pytest.fixture
def watched_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler and Node, each of which leaves a file named `ran` when it is called; the compiler optimises not."""
    place = tmp_path / "tools"
    place.mkdir()
    for name, option in {"cc": "-O0", "node": ""}.items():
        if real := shutil.which(name):
            noting = f'[ "$1" = --version ] || touch "{tmp_path}/ran"'
            (place / name).write_text(f'#!/bin/sh\n{noting}\nexec "{real}" "$@" {option}\n')
            (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    monkeypatch.delenv("CC", raising=False)


@pytest.mark.parametrize(("name", "trials"), [("c", 6), ("wasm", 30)])
def test_forged_folders(
    name: str, trials: int, whole_folders: dict[str, Path], cli: CommandLine, watched_tools: None
) -> None:
    assert len(forged_folders(name, trials, 0, whole_folders, cli)) == 2


@pytest.mark.slow
@pytest.mark.parametrize(("name", "trials"), [("c", 150), ("wasm", 600)])
def test_forged_folders_at_length(
    name: str, trials: int, whole_folders: dict[str, Path], cli: CommandLine, watched_tools: None
) -> None:
    ends = forged_folders(name, trials, 1, whole_folders, cli)
    print(f"\nforged metadata, {name}: {dict(ends)}, 0 failures")  # noqa: T201


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "int8", "ort"])
def test_damaged_files_unverified(name: str, whole_files: dict[str, Path], tmp_path: Path) -> None:
    """Bytes changed and nothing checked: in a child, for onnxruntime itself may end the process."""
    import subprocess
    import sys

    script = (
        "import sys, numpy as np\nfrom pathlib import Path\n"
        "from lenet_edge_runtime import Classifier, LenetEdgeError\n"
        "blank = np.zeros((28, 28), np.uint8)\n"
        "for line in sys.stdin:\n"
        "    try:\n        Classifier(line.strip(), verify=False).predict(blank)\n"
        "        print('answered', flush=True)\n"
        "    except LenetEdgeError:\n        print('refused', flush=True)\n"
    )
    generator, content, ends = np.random.default_rng(2), whole_files[name].read_bytes(), Counter[str]()
    paths = []
    for trial in range(400):
        path = tmp_path / f"{trial}{whole_files[name].suffix}"
        path.write_bytes(mutate(content, whole_files["onnx"].read_bytes(), generator))
        paths.append(path)
    while paths:
        given = "\n".join(map(str, paths)) + "\n"
        done = subprocess.run(
            [sys.executable, "-c", script], input=given, capture_output=True, text=True, check=False, timeout=600
        )
        ends += Counter(done.stdout.split())
        assert "Traceback" not in done.stderr, done.stderr
        rest = paths[len(done.stdout.split()) :]
        if rest:
            ends[f"ended by signal {-done.returncode}"] += 1
            rest = rest[1:]
        paths = rest
    print(f"\ndamaged files without verification, {name}: {dict(ends)}")  # noqa: T201


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", ["c", "wasm"])
def test_metadata_of_folders(name: str, key: str) -> None:
    """What a folder or a library says of itself, by the functions that read it; nothing is compiled."""
    metadata = {
        **ModelSpec(("a", "b"), 28, 28, (0.1,), (0.3,)).to_metadata(),
        proof.KNOWN_ANSWERS: proof.KnownAnswers(
            np.zeros((1, 1, 28, 28), np.uint8), np.ones((1, 2), np.float32), 0.0
        ).to_json(),
        proof.CARD: json.dumps(CARD),
        **{PREFIX + measure: "1" for measure in folder.MEASURES},
    }
    said: list[str] = []
    for text in (*ANYTHING, None):
        try:
            found = of_text(json.dumps(changed(metadata, key, text)))
        except ValueError:
            continue
        readers: tuple[Callable[[], object], ...] = (
            lambda found=found: ModelSpec.from_metadata(found),  # type: ignore[misc]
            lambda found=found: proof.known_answers(found, "x"),  # type: ignore[misc]
            lambda found=found: proof.card_of(found),  # type: ignore[misc]
            lambda found=found: [read(found, measure, whole(0)) for measure in folder.MEASURES],  # type: ignore[misc]
        )
        for reader in readers:
            try:
                reader()
            except ModelFileError as error:
                said.append(str(error))
    assert all(is_harmless(message) and len(message) < 1000 for message in said)


@pytest.mark.parametrize("field", FIELDS["known_answers"])
def test_known_answers_of_anything(field: str) -> None:
    answers = proof.KnownAnswers(np.zeros((1, 1, 28, 28), np.uint8), np.ones((1, 2), np.float32), 0.0)
    for text in ANYTHING:
        stated = json.loads(answers.to_json()) | {field: "HERE"}
        try:
            found = proof.KnownAnswers.from_json(json.dumps(stated).replace('"HERE"', text or "null"))
        except ModelFileError:
            continue
        assert math.isfinite(found.tolerance)
        assert 0 <= found.tolerance <= 0.01


@pytest.mark.parametrize("tolerance", ["NaN", "Infinity", "1e30", "-1", "1e999", "0.5", "true", '"0"'])
def test_tolerance_that_lets_any_answer_pass(
    tolerance: str, whole_files: dict[str, Path], cli: CommandLine, tmp_path: Path
) -> None:
    """Behind a valid seal, and with the answers of another network."""
    metadata = metadata_of(whole_files["onnx"])
    answers = proof.KnownAnswers.from_json(metadata[proof.KNOWN_ANSWERS])
    wrong = proof.KnownAnswers(answers.pixels, answers.logits[:, ::-1].copy(), 123.0).to_json()
    text = wrong.replace("123.0", tolerance)
    path = tmp_path / "net.onnx"
    forge(whole_files["onnx"], path, "known_answers", text, np.random.default_rng(1))
    with pytest.raises(ModelFileError, match="known answers are damaged"):
        Classifier(path)
    assert cli("verify", path).exit_code == 1


@pytest.mark.parametrize("text", ["NaN", "[1, NaN]", "1e999", "9" * 400, "[" * 100_000, "nul", "'a'", "\x00", ""])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_missing_and_wrong_values_are_named() -> None:
    with pytest.raises(ModelFileError, match="metadata is damaged: macs: it is missing"):
        read({}, "macs", whole(0))
    with pytest.raises(ModelFileError, match=r"macs: expected a whole number from 0 to \d+, got 'a\\x1b'"):
        read({PREFIX + "macs": '"a\\u001b"'}, "macs", whole(0))
