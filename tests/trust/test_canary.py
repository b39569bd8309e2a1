"""Nothing foreign runs unasked: every command on every format with a payload writes no file."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import CommandLine
from hostile_files import HOSTILE
from lenet_edge.artefacts.exporting import export_run
from lenet_edge.runs.opened import open_run
from lenet_edge.runs.run import Run
from lenet_edge_exporters import FORMATS, manifest

COMMANDS = {
    "verify": ("verify", "FILE"),
    "verify dataset": ("verify", "FILE", "--dataset", "digits"),
    "verify run": ("verify", "--run", "RUN"),
    "verify file of run": ("verify", "FILE", "--run", "RUN"),
    "verify latest": ("verify",),
    "evaluate": ("evaluate", "FILE", "--dataset", "digits"),
    "evaluate run": ("evaluate", "RUN"),
    "report": ("report", "RUN", "--no-latency"),
    "report timed": ("report", "RUN", "--rounds", "2", "--calls", "1"),
    "bench": ("bench", "FILE", "--rounds", "2", "--calls", "1"),
    "bench run": ("bench", "--run", "RUN", "--rounds", "2", "--calls", "1", "--no-memory"),
    "bench self-test": ("bench", "FILE", "--self-test"),
    "predict": ("predict", "FILE", "image.png"),
    "predict latest": ("predict", "image.png"),
    "info": ("info", "FILE"),
    "web": ("export", "FILE", "--web", "page", "--engine", "wasm"),
    "export weights": ("export", "FILE", "--model", "lenet5", "--dataset", "digits"),
    "serve": ("serve", "FILE"),
}
# Those that would open the file have to say why they do not; the others do without it.
ASKED = ("verify", "verify dataset", "verify run", "verify file of run", "verify latest", "evaluate", "report",
         "report timed")  # fmt: skip


@pytest.fixture(scope="module")
def every_format(digits_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a file of every format that can carry code. Read-only for tests."""
    folder = tmp_path_factory.mktemp("received") / "lenet5-digits-1"
    shutil.copytree(digits_run.folder, folder)
    shutil.rmtree(folder / "export")
    names = [name for name, row in FORMATS.items() if row.carries_code and available(name)]
    export_run(open_run(Run(folder)), ["onnx", *names], max_drop_pp=100)
    return folder


def available(format_name: str) -> bool:
    """Whether what compiles and runs the format is here."""
    if format_name == "wasm":
        return bool(shutil.which("node") and shutil.which("clang") and shutil.which("wasm-ld"))
    return format_name != "c" or bool(shutil.which("cc"))


def received(every_format: Path, kind: str, tmp_path: Path) -> tuple[Run, Path, Path]:
    """The run with one hostile file, as its forger would pass it on: with a manifest that lists what is there."""
    name = kind.split()[0]
    if not available(name):
        pytest.skip(f"nothing here compiles or runs {name}")
    run = Run(Path(shutil.copytree(every_format, Path("runs") / every_format.name)))
    for path in run.export_folder.iterdir():
        if path.suffix != ".onnx" and not path.name.endswith(FORMATS[name].suffix):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (file,) = (path for path in run.export_folder.iterdir() if path.name.endswith(FORMATS[name].suffix))
    canary = tmp_path / "canary"
    HOSTILE[kind](file, canary)
    manifest.add(run.folder, [*file.iterdir()] if file.is_dir() else [file])
    Image.new("L", (28, 28)).save("image.png")
    return run, file, canary


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", HOSTILE)
def test_no_command_runs_what_a_file_brings(
    kind: str, command: str, every_format: Path, cli: CommandLine, tmp_path: Path
) -> None:
    run, file, canary = received(every_format, kind, tmp_path)
    words = {"FILE": str(file), "RUN": str(run.folder)}
    result = cli(*(words.get(word, word) for word in COMMANDS[command]))
    assert not canary.exists()
    assert "Traceback" not in result.output
    assert result.exit_code in (0, 1, 2)
    if command in ASKED:
        assert result.exit_code == 1
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("lenet-edge: error")]
        assert "can run any code as it is opened" in line
        assert "--trust" in line
    if command in ("bench", "bench self-test"):
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("lenet-edge: error")]
        assert "export its run here" in line  # bench has no --trust: what to type instead is a command that has
        assert f"lenet-edge verify {file} --trust" in line


@pytest.mark.parametrize("kind", HOSTILE)
def test_trusted_file_runs_in_a_child_and_node_under_its_permission_model(
    kind: str, every_format: Path, cli: CommandLine, tmp_path: Path
) -> None:
    """C and TorchScript may do what they want once they are trusted; a pickle is refused, and Node keeps wasm out."""
    _, file, canary = received(every_format, kind, tmp_path)
    result = cli("verify", file, "--trust", "--dataset", "digits", "--max-drop", "100")
    assert "Traceback" not in result.output
    assert canary.exists() == (kind in ("c", "torchscript"))
    if kind.startswith("pt2"):
        assert "which are a pickle" in result.stderr or "asks for a pickle" in result.stderr


@pytest.mark.parametrize("format_name", [name for name, row in FORMATS.items() if row.carries_code])
def test_changed_file_is_not_what_the_manifest_lists(
    format_name: str, every_format: Path, cli: CommandLine, tmp_path: Path
) -> None:
    """One flipped bit in any of them, and in the weights, is found before anything is opened, with --trust too."""
    if not available(format_name):
        pytest.skip(f"nothing here compiles or runs {format_name}")
    run = Run(Path(shutil.copytree(every_format, Path("runs") / every_format.name)))
    (file,) = (path for path in run.export_folder.iterdir() if path.name.endswith(FORMATS[format_name].suffix))
    damaged = FORMATS[format_name].files_at(file)[0]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    for options in ((), ("--trust",)):
        for words in (("verify", "--run", run.folder), ("verify", file), ("evaluate", file), ("report", run.folder)):
            assert "is not the file that the manifest lists" in cli.fails(*words, *options, code=3)


@pytest.mark.parametrize(
    ("format_name", "count"),
    [
        ("torchscript", 20),
        ("pt2", 20),
        pytest.param("torchscript", 2200, marks=pytest.mark.slow),
        pytest.param("pt2", 300, marks=pytest.mark.slow),
    ],
)
def test_one_flipped_bit_is_found_wherever_it_is(
    format_name: str, count: int, every_format: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the manifest torch loads many such files as if nothing was, and some of them end the process."""
    import torch

    for module in (torch.jit, torch.export):
        monkeypatch.setattr(module, "load", lambda *_, **__: pytest.fail("a changed file was opened"))
    run = Run(Path(shutil.copytree(every_format, Path("runs") / every_format.name)))
    (file,) = (path for path in run.export_folder.iterdir() if path.name.endswith(FORMATS[format_name].suffix))
    content, generator = file.read_bytes(), np.random.default_rng(0)
    places = generator.choice(8 * len(content), count, replace=False)
    refused = 0
    for place in places:
        mutant = bytearray(content)
        mutant[place // 8] ^= 1 << place % 8
        file.write_bytes(mutant)
        said = cli.fails("verify", "--run", run.folder, code=3)
        refused += f"{file} is not the file that the manifest lists" in said
    print(f"\nsingle flipped bits, {format_name}: {count} trials, {count - refused} failures")  # noqa: T201
    assert refused == count


@pytest.mark.parametrize("name", ["weights.safetensors", "run.json", "history.csv", "curves.png"])
def test_any_changed_file_of_a_run_is_found(name: str, every_format: Path, cli: CommandLine) -> None:
    run = Run(Path(shutil.copytree(every_format, Path("runs") / every_format.name)))
    assert name in json.loads((run.folder / manifest.NAME).read_text())["files"]
    path = run.folder / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert "is not the file that the manifest lists" in cli.fails("verify", "--run", run.folder, code=3)
    if name in ("weights.safetensors", "run.json"):
        for words in (("evaluate", run.folder), ("report", run.folder), ("export", run.folder)):
            assert "is not the file that the manifest lists" in cli.fails(*words, code=3)


def test_run_of_another_machine_needs_trust_and_has_it(
    every_format: Path, cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(Path(shutil.copytree(every_format, Path("runs") / every_format.name)))
    assert cli("verify", "--run", run.folder, "--max-drop", "100").exit_code == 0
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another home"))
    assert "was not exported on this machine" in cli.fails("verify", "--run", run.folder)
    result = cli("verify", "--run", run.folder, "--max-drop", "100", "--trust", "--json")
    assert result.exit_code == 0, result.output
    for model in json.loads(result.stdout)["models"]:
        assert model["agreement"] > 0.97


def test_weights_from_elsewhere_hold_no_code(cli: CommandLine, tmp_path: Path) -> None:
    import pickle

    from hostile_files import _Payload

    canary = tmp_path / "canary"
    Path("weights.pth").write_bytes(pickle.dumps(_Payload(canary)))
    cli.fails("export", "weights.pth", "--model", "lenet5", "--dataset", "digits")
    assert not canary.exists()
