"""Nothing that stands in names, labels or a command line steers a terminal: through the program, as a user sees it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from command_line import CommandLine
from export_jobs import make_job
from hostile_text import is_harmless
from lenet_edge.networks.models import build_model
from lenet_edge.networks.recipes import RECIPES
from lenet_edge_exporters import FORMATS
from mutations import mutate

NAMES = [
    "\x1b[31mred",
    "a\nlenet-edge: error: forged",
    "\u202egnp.exe",
    "\x1b]0;title\x07",
    "\x9b2J",
    "a\rb",
    "\u2028x",
]
LABELS = (
    "\x1b[31mred",
    "b\nb",
    "\u202eabc",
    "\x1b]8;;http://t.example\x07link",
    "=1+1",
    ":smile:",
    "\x9b1m",
    "[b]x",
    "i",
    "j",
)

COMMANDS = [
    "info {}",
    "verify {}.onnx",
    "evaluate {}.onnx",
    "evaluate {}",
    "predict {}.onnx x.png",
    "predict {model} {}.png",
    "predict {model} {} --labels {}",
    "bench {}.onnx",
    "bench --compare {}",
    "bench --batch {}",
    "report {}",
    "serve {}",
    "export {}",
    "export {}.pth --model lenet5 --dataset digits",
    "export --format {}",
    "export --web x --engine {}",
    "export --cdn {} --web x",
    "samples {}",
    "train {}",
    "train --dataset {}",
    "train --from {} --qat",
    "train --device {}",
    "compare {}",
    "compare lenet5 --dataset {}",
    "{}",
    "--{}",
    "recipes {}",
    "predict --invert {} x",
    "train --epochs {}",
    "verify --run {}",
    "info x --{}",
    "quickstart {}",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed network whose labels hold everything."""
    job = make_job("lenet5-classic")
    job = replace(job, spec=replace(job.spec, labels=LABELS), provenance={"recipe": "\x1b[31m", "dataset": "\u202e"})
    row, path = FORMATS["onnx"], tmp_path_factory.mktemp("model") / "net.onnx"
    assert row.seal
    path.write_bytes(row.export(job))
    path.write_bytes(row.seal(path.read_bytes(), job, row.load(path, 1), None))
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_error_lines_are_printable(command: str, cli: CommandLine, model: Path) -> None:
    for name in NAMES:
        result = cli(*(word.format(name, model=model) for word in command.split()))
        assert result.exit_code in (1, 2), result.output
        assert is_harmless(result.output), repr(result.output)
        assert not any(line.startswith("lenet-edge: error: forged") for line in result.output.splitlines())


@pytest.mark.parametrize("arguments", [["info"], ["info", "--json"], ["verify"], ["verify", "--json"]])
def test_what_a_file_says_is_printable(arguments: list[str], cli: CommandLine, model: Path) -> None:
    result = cli(*arguments, model)
    assert result.exit_code == 0, result.output
    assert is_harmless(result.output)


@pytest.mark.parametrize("form", ["text", "jsonl"])
@pytest.mark.parametrize("name", [name for name in NAMES if "/" not in name])
def test_answers_are_printable(form: str, name: str, cli: CommandLine, model: Path, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (28, 28), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    result = cli("predict", model, tmp_path / f"{name}.png", "--format", form)
    assert result.exit_code == 0, result.output
    assert is_harmless(result.output)
    assert len(result.stdout.splitlines()) == 1


def test_tables_of_hostile_labels(cli: CommandLine, model: Path, tmp_path: Path) -> None:
    """evaluate's tables on a folder whose classes are called so, with mistakes and confusions."""
    generator = np.random.default_rng(0)
    for label in LABELS:
        if "/" in label:
            continue
        for part in ("train", "test"):
            (tmp_path / "data" / part / label).mkdir(parents=True)
            for number in range(2):
                pixels = generator.integers(0, 255, (28, 28), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "data" / part / label / f"{number}.png")
    result = cli("samples", tmp_path / "data", "--out", tmp_path / "sheet.png", "--per-class", "1")
    assert result.exit_code == 0, result.output
    assert is_harmless(result.output)
    result = cli("evaluate", model, "--dataset", tmp_path / "data")  # other labels, which are named
    assert result.exit_code == 1
    assert is_harmless(result.output)


def weights_file(path: Path) -> bytes:
    torch.manual_seed(0)
    torch.save(build_model(RECIPES["lenet5-classic"].model).state_dict(), path)
    return path.read_bytes()


def check_mutated_weights(trials: int, seed: int, cli: CommandLine, tmp_path: Path) -> int:
    generator, content = np.random.default_rng(seed), weights_file(tmp_path / "w.pth")
    refused = 0
    for trial in range(trials):
        path = tmp_path / f"m{trial}.pth"
        path.write_bytes(mutate(content, content, generator))
        result = cli(
            "export", path, "--model", "lenet5-classic", "--dataset", "digits", "--mean", "1", "--std", "0"
        )  # a std of zero is refused last, before anything is trained or written
        path.unlink()
        assert isinstance(result.exception, SystemExit), (trial, result.exception)
        assert result.exit_code == 1
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
        refused += "std" not in result.stderr
    return refused


def test_mutated_weights_give_one_line(cli: CommandLine, tmp_path: Path) -> None:
    assert check_mutated_weights(40, 0, cli, tmp_path) > 10


@pytest.mark.slow
def test_mutated_weights_at_length(cli: CommandLine, tmp_path: Path) -> None:
    refused = check_mutated_weights(2000, 1, cli, tmp_path)
    print(f"\nmutated .pth: 2000 trials, {refused} refused by the reader, 0 failures")  # noqa: T201
