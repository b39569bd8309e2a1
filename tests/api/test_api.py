"""The functions for Python programs: they give what the commands give, and cost nothing until they are called."""

import inspect
import json
import runpy
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

import lenet_edge
from command_line import CommandLine
from lenet_edge.bench.measuring import BenchPlan
from lenet_edge.runs.run import Run
from lenet_edge.training.watcher import Progress, Watcher
from lenet_edge_runtime.errors import DataError, RunError, TrainingError
from trained_runs import exported

ROOT = Path(__file__).parents[2]
FUNCTIONS = [name for name in lenet_edge.__all__ if name != "__version__"]


def test_example_runs_from_training_to_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["python_api.py", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(ROOT / "examples" / "python_api.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert left.value.code == 0, printed
    assert "evidence of the int8 file holds: True" in printed
    assert "pytorch: " in printed


def test_page_has_the_example_word_for_word() -> None:
    program = (ROOT / "examples" / "python_api.py").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    assert f"```python\n{program}```\n" in page
    assert all(f"`{name}(" in page for name in FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_documented_and_typed(name: str) -> None:
    function = getattr(lenet_edge, name)
    signature = inspect.signature(function)
    assert inspect.getdoc(function)
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(item.annotation is not inspect.Parameter.empty for item in signature.parameters.values())


def test_import_is_lean_and_unknown_names_are_errors() -> None:
    code = "import sys, lenet_edge; lenet_edge.train; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "onnx", "onnxruntime", "sklearn", "typer"} & set(loaded) == set()
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = lenet_edge.trian  # type: ignore[attr-defined]


def test_train_takes_what_the_command_takes_and_prints_nothing(
    cli: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--epochs", "1", "--batch-size", "64", "--lr", "0.1", "--seed", "3", "--threads", "1", "--device", "cpu"]
    cli("train", "lenet5-classic", "--dataset", "digits", "--out", "by-command", *options)
    capsys.readouterr()
    run = lenet_edge.train(
        "lenet5-classic", dataset="digits", out="by-function", epochs=1, batch_size=64, learning_rate=0.1, seed=3,
        threads=1, device="cpu",
    )  # fmt: skip
    by_command = lenet_edge.open_run("by-command")
    assert run.run.weights_path.read_bytes() == by_command.run.weights_path.read_bytes()
    assert run.record.recipe == by_command.record.recipe
    assert run.record.metrics["test_accuracy"] == by_command.record.metrics["test_accuracy"]
    assert capsys.readouterr().out == ""
    with pytest.raises(RunError, match="holds a run already"):
        lenet_edge.train(dataset="digits", out="by-function")
    with pytest.raises(TrainingError, match="device 'gpu' is not usable"):
        lenet_edge.train(dataset="digits", device="gpu")


def test_watcher_hears_of_training(cli: CommandLine) -> None:
    class Listening(Watcher):
        def __init__(self) -> None:
            self.heard: list[Progress] = []

        def progress(self, now: Progress) -> None:
            self.heard.append(now)

    watcher = Listening()
    lenet_edge.train(dataset="digits", epochs=1, watcher=watcher, out="watched")
    assert {now.epochs for now in watcher.heard} == {1}


def test_export_gives_the_commands_bytes(digits_run: Run, cli: CommandLine, tmp_path: Path) -> None:
    report = lenet_edge.export(digits_run.folder, ["onnx", "onnx"], out=tmp_path / "out", max_drop_pp=100)
    [artifact] = report.artifacts
    assert report.passed
    assert artifact.path.read_bytes() == exported(digits_run, "onnx").read_bytes()
    with pytest.raises(ValueError, match=r"no format is called 'tflight'; did you mean 'tflite'\? choose "):
        lenet_edge.export(digits_run.folder, ["tflight"])


def test_verify_and_evaluate_say_what_the_commands_say(digits_run: Run, cli: CommandLine) -> None:
    int8 = exported(digits_run, "int8")
    verification = lenet_edge.verify(lenet_edge.open_run(str(digits_run.folder)), [int8])
    printed = json.loads(cli("verify", int8, "--run", digits_run.folder, "--json").stdout)
    assert json.loads(json.dumps([asdict(row) for row in verification.verdicts])) == printed["models"]
    assert lenet_edge.verify(files=[str(int8)]).passed
    for subject in (digits_run.folder, int8):
        scores = json.loads(json.dumps(asdict(lenet_edge.evaluate(subject, mistakes=3))))
        assert scores == json.loads(cli("evaluate", subject, "--mistakes", "3", "--json").stdout)


def test_file_away_from_its_run_is_examined(digits_run: Run, cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "lone.onnx").write_bytes(exported(digits_run, "int8").read_bytes())
    assert lenet_edge.examine("lone.onnx", dataset="digits").passed
    with pytest.raises(RunError, match=r"the run that lone\.onnx was exported from is not here"):
        lenet_edge.verify(files=["lone.onnx"])
    assert lenet_edge.evaluate("lone.onnx").dataset == "digits"
    with pytest.raises(DataError):
        lenet_edge.evaluate("lone.onnx", dataset="nothing-of-that-name")


def test_benchmark_has_a_row_for_each_file(digits_run: Run, cli: CommandLine) -> None:
    files = [exported(digits_run, name) for name in ("onnx", "int8")]
    results = lenet_edge.benchmark(digits_run.folder, files, plan=BenchPlan(rounds=2, calls=5))
    assert [row.format for row in results.rows] == ["pytorch", "onnx", "int8"]
    assert results.to_json()["method"]["calls"] == 5
