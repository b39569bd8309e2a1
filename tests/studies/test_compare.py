"""Studies: what they show, what they reuse, and that nothing is lost when they are stopped."""

import csv
import errno
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import special, stats

from command_line import CommandLine
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.recipes import RECIPES
from lenet_edge.runs.finding import find_run
from lenet_edge.runs.record import RunRecord
from lenet_edge.runs.run import Run
from lenet_edge.studies import member_training
from lenet_edge.studies.studies import Study

DIGITS = ("--dataset", "digits", "--epochs", "2", "--device", "cpu", "--threads", "1")
# 40 epochs of 8 steps are a second or more: long enough to be met in the middle.
LONG = ("--dataset", "digits", "--epochs", "40", "--device", "cpu", "--threads", "2", "--jobs", "2")
ROOT = Path(__file__).parents[2]


def compare(cli: CommandLine, *arguments: str | Path, options: tuple[str, ...] = DIGITS) -> dict[str, Any]:
    result = cli("compare", *options, *arguments, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def runs_of(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in sorted(folder.glob("runs/*/weights.safetensors"))}


def test_figures_are_those_of_the_runs(cli: CommandLine) -> None:
    document = compare(cli, "lenet5", "lenet5-classic", "--seeds", "3")
    folder = cli.folder / "studies" / "digits"
    assert document["seeds"] == [0, 1, 2]
    metrics = {
        recipe: [find_run(folder / "runs" / f"{recipe}-digits-seed{seed}").run.read().metrics for seed in range(3)]
        for recipe in ("lenet5", "lenet5-classic")
    }
    for row in document["recipes"]:
        for name in ("train_accuracy", "val_accuracy", "test_accuracy"):
            values = [run[name] for run in metrics[row["recipe"]]]
            assert row[name] == {"mean": pytest.approx(np.mean(values)), "sd": pytest.approx(np.std(values, ddof=1))}
    for row in document["comparisons"]:
        a, b = ([run[row["metric"]] for run in metrics[recipe]] for recipe in ("lenet5", "lenet5-classic"))
        assert row["p"] == pytest.approx(stats.ttest_rel(a, b).pvalue)
        assert row["difference_pp"] == pytest.approx(100 * (np.mean(a) - np.mean(b)))
    assert {row["metric"] for row in document["comparisons"]} == {"train_accuracy", "test_accuracy"}
    with (folder / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["recipe"], row["seed"], row["test_accuracy"]) for row in rows] == [
        (recipe, str(seed), str(metrics[recipe][seed]["test_accuracy"])) for recipe in metrics for seed in range(3)
    ]
    assert json.loads((folder / "study.json").read_text(encoding="utf-8")) == document
    for name in ("accuracy.png", "curves.png"):
        with Image.open(folder / name) as picture:
            assert picture.size[0] > 600


def test_finished_run_that_measured_less_is_named_before_anything_is_trained(cli: CommandLine) -> None:
    compare(cli, "lenet5", "--seeds", "1")
    run = find_run(cli.folder / "studies" / "digits" / "runs" / "lenet5-digits-seed0").run
    record = run.read()
    run.write(replace(record, metrics={key: value for key, value in record.metrics.items() if key != "train_accuracy"}))
    message = cli.fails("compare", *DIGITS, "lenet5", "--seeds", "2")
    assert f"{Path('studies/digits/runs/lenet5-digits-seed0')} is of an older version, which measured less" in message
    assert len(runs_of(cli.folder / "studies" / "digits")) == 1


def test_table_names_recipes_and_p_values(cli: CommandLine) -> None:
    result = cli("compare", "lenet5", "lenet5-classic", "--seeds", "2", *DIGITS)
    assert result.exit_code == 0, result.output
    assert "lenet5 - lenet5-classic" in result.stdout
    assert "p (Holm)" in result.stdout
    assert "studies/digits: 4 of 4 runs to train, 0 finished already" in result.stderr
    assert "2 seeds and 1 comparison: a mean difference counts as significant for certain from 9.0" in result.stderr


def test_finished_runs_serve_again_also_in_a_copy(cli: CommandLine) -> None:
    compare(cli, "lenet5", "--seeds", "1")
    shutil.copytree(cli.folder / "studies" / "digits", cli.folder / "copy")
    before = runs_of(cli.folder / "copy")
    document = compare(cli, "lenet5-classic", "lenet5", "--seeds", "2", "--out", "copy")
    assert {(row["recipe"], row["seed"]): row["reused"] for row in document["runs"]} == {
        ("lenet5-classic", 0): False,
        ("lenet5-classic", 1): False,
        ("lenet5", 0): True,
        ("lenet5", 1): False,
    }
    assert before.items() <= runs_of(cli.folder / "copy").items()


def test_other_settings_are_other_runs(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compare(cli, "lenet5", "--seeds", "1")
    longer = compare(cli, "lenet5", "--seeds", "1", "--epochs", "3")
    monkeypatch.setitem(RECIPES, "lenet5", replace(RECIPES["lenet5"], summary="other words", average_decay=0.5))
    changed = compare(cli, "lenet5", "--seeds", "1")
    monkeypatch.setitem(RECIPES, "lenet5", replace(RECIPES["lenet5"], summary="and others"))
    renamed = compare(cli, "lenet5", "--seeds", "1")
    names = [document["runs"][0]["run"] for document in (first, longer, changed, renamed)]
    stem = "lenet5-digits-seed0"
    assert names == [stem, f"{stem}-2", f"{stem}-3", f"{stem}-3"]


def test_damaged_run_is_named_and_trained_anew(
    tmp_path: Path, digits_run: Run, digits: ImageData, capsys: pytest.CaptureFixture[str]
) -> None:
    record = digits_run.read()
    study = Study(tmp_path)
    for seed in (0, 1):
        run = Run(study.runs_folder / f"lenet5-digits-seed{seed}")
        run.folder.mkdir(parents=True)
        run.write(replace(record, seed=seed))
    run.record_path.write_text("{", encoding="utf-8")
    members = study.enrol([replace(record, seed=seed) for seed in (0, 1)], digits)
    assert [(member.run.name, member.finished) for member in members] == [
        ("lenet5-digits-seed0", True),
        ("lenet5-digits-seed1-2", False),
    ]
    assert f"left out: {run.record_path} is damaged" in capsys.readouterr().err


def test_recipes_are_compared_with_strangers_and_by_what_they_refuse(cli: CommandLine, digits: ImageData) -> None:
    without = compare(cli, "lenet5", "--seeds", "1")
    assert "test_refused" not in without["recipes"][0]
    document = compare(cli, "lenet5", "lenet5-classic", "--seeds", "2", "--strangers")
    assert [row["reused"] for row in document["runs"]] == [False] * 4
    refused: dict[str, list[float]] = {}
    for row in document["runs"]:
        opened = find_run(cli.folder / "studies" / "digits" / "runs" / row["run"])
        scores = special.logsumexp(opened.model.logits(digits.test_pixels).astype(float), axis=1)
        assert row["test_refused"] == pytest.approx((scores < opened.record.spec.threshold).mean(), abs=0.002)
        refused.setdefault(row["recipe"], []).append(row["strangers_refused"])
        assert opened.record.recipe.strangers == 0.25
    for row in document["recipes"]:
        values = refused[row["recipe"]]
        assert all(0 <= value <= 1 for value in values)
        expected = {"mean": pytest.approx(np.mean(values)), "sd": pytest.approx(np.std(values, ddof=1))}
        assert row["strangers_refused"] == expected
    table = cli("compare", "lenet5", "lenet5-classic", "--seeds", "2", "--strangers", *DIGITS)
    assert "0 of 4 runs to train" in table.stderr
    assert re.search(r"strangers refused +test images refused", table.stdout)


def test_one_seed_is_not_tested(cli: CommandLine) -> None:
    document = compare(cli, "lenet5", "lenet5-classic", "--seeds", "1")
    assert [row["p"] for row in document["comparisons"]] == [None, None]
    assert document["recipes"][0]["test_accuracy"]["sd"] is None
    assert document["remarks"] == ["one seed shows neither a spread nor what is chance: give --seeds 5"]


def test_a_run_that_cannot_be_written_does_not_stop_the_others(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = member_training.complete

    def failing(run: Run, *arguments: Any, **options: Any) -> RunRecord:
        if run.name.endswith("seed0"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(run.weights_path))
        return complete(run, *arguments, **options)

    monkeypatch.setattr(member_training, "complete", failing)
    result = cli("compare", "lenet5", "--seeds", "2", *DIGITS)
    assert result.exit_code == 1, result.output
    last = result.stderr.strip().splitlines()[-1]
    assert "1 of 2 runs in studies/digits failed, lenet5 seed 0 because: [Errno 28] No space left on device" in last
    assert find_run(Path("studies/digits/runs/lenet5-digits-seed1")).run.read().status == "finished"


def test_a_failing_run_is_named_and_the_others_are_kept(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "wild", replace(RECIPES["lenet5-classic"], name="wild", learning_rate=1e38))
    for jobs in ("1", "2"):  # in this process, and in children
        result = cli("compare", "wild", "lenet5", "--seeds", "2", *DIGITS, "--jobs", jobs, "--out", f"jobs{jobs}")
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        last = result.stderr.strip().splitlines()[-1]
        assert last.startswith(
            f"lenet-edge: error: 2 of 4 runs in jobs{jobs} failed, wild seed 0 because: the loss became nan in epoch 1"
        ), result.stderr
        assert last.endswith("the others are kept; the same command tries again")
    here, in_children = (runs_of(cli.folder / folder) for folder in ("jobs1", "jobs2"))
    assert list(here) == ["lenet5-digits-seed0", "lenet5-digits-seed1"]
    assert in_children == here


def test_a_child_that_cannot_be_started_is_a_failing_run(cli: CommandLine) -> None:
    resource_tracker.ensure_running()  # a process that Python starts once, by the same executable
    multiprocessing.set_executable(str(cli.folder / "no-python"))
    try:
        result = cli("compare", "lenet5", "--seeds", "2", *DIGITS, "--jobs", "2")
    finally:
        multiprocessing.set_executable(sys.executable)
    assert result.exit_code == 1
    assert "2 of 2 runs in studies/digits failed, lenet5 seed" in result.stderr
    assert "its process ended before it" in result.stderr


def test_unknown_recipe_is_named_before_anything_is_written(cli: CommandLine) -> None:
    assert "no recipe is called 'lenet6'" in cli.fails("compare", "lenet5", "lenet6", "--dataset", "digits")
    assert list(cli.folder.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_study_goes_on_inside_its_runs(number: signal.Signals, cli: CommandLine) -> None:
    process, checkpoint = begun_in_two_processes(cli.folder)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=180)
    assert "Traceback" not in stderr
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        _wait_for(lambda: not _locked(checkpoint.parent))  # its children notice, and leave
    else:
        assert process.returncode == 128 + number
        assert "stopped; 0 of 2 runs in studies/digits are finished; the same command goes on" in stderr
    assert 2 <= _epochs(checkpoint.parent) < 40
    assert checkpoint.is_file()

    went_on = compare(cli, "lenet5", "--seeds", "1", options=(*LONG[:-3], "1"))
    assert not went_on["runs"][0]["reused"]
    assert went_on["runs"][0]["run"] == checkpoint.parent.name
    compare(cli, "lenet5", "--seeds", "1", "--out", "straight", options=(*LONG[:-3], "1"))
    straight = runs_of(cli.folder / "straight")
    assert {name: runs_of(cli.folder / "studies" / "digits")[name] for name in straight} == straight


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux lists a process's children")
def test_a_second_signal_kills_what_does_not_stop(cli: CommandLine) -> None:
    process, checkpoint = begun_in_two_processes(cli.folder)
    children = _trainings_of(process.pid)
    assert len(children) == 2
    for child in children:
        os.kill(child, signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr.strip().splitlines()[-1]) == (130, "lenet-edge: error: interrupted")
    assert "resource_tracker" not in stderr
    assert not _locked(checkpoint.parent)
    assert checkpoint.is_file()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux lists a process's children")
def test_a_killed_child_fails_its_run_alone(cli: CommandLine) -> None:
    process, _ = begun_in_two_processes(cli.folder)
    os.kill(_trainings_of(process.pid)[0], signal.SIGKILL)
    _, stderr = process.communicate(timeout=180)
    assert process.returncode == 1
    assert "1 of 2 runs in studies/digits failed, lenet5 seed" in stderr
    assert "its process ended before it" in stderr
    runs = [Run(folder) for folder in sorted((cli.folder / "studies" / "digits" / "runs").iterdir())]
    assert sorted(run.read().status for run in runs) == ["finished", "training"]


def begun_in_two_processes(folder: Path) -> tuple["subprocess.Popen[str]", Path]:
    """A study of two seeds in the midst of both trainings, and the first one's checkpoint."""
    command = [sys.executable, "-m", "lenet_edge", "compare", "lenet5", "--seeds", "2", *LONG]
    process = subprocess.Popen(command, cwd=folder, env=_environment(), stderr=subprocess.PIPE, text=True)
    runs = [folder / "studies" / "digits" / "runs" / f"lenet5-digits-seed{seed}" for seed in (0, 1)]
    _wait_for(lambda: all(_epochs(run) >= 2 for run in runs))
    return process, runs[0] / "checkpoint.safetensors"


def _trainings_of(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="utf-8").split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def _environment() -> dict[str, str]:
    storeys = [ROOT, ROOT / "exporters", ROOT / "runtime"]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, storeys))}


def _epochs(folder: Path) -> int:
    history = folder / "history.csv"
    return len(history.read_text(encoding="utf-8").splitlines()) - 1 if history.is_file() else 0


def _locked(folder: Path) -> bool:
    from lenet_edge_runtime.errors import RunError

    try:
        with Run(folder).locked():
            return False
    except RunError:
        return True


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
