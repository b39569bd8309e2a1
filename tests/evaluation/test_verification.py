"""Verification: the figures of a file against the PyTorch model, and the gate."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from command_line import CommandLine
from lenet_edge.data.image_data import ImageData
from lenet_edge.evaluation.comparison import compare, default_max_drop
from lenet_edge.evaluation.run_verification import verify
from lenet_edge.runs.exported import exported_files, run_of
from lenet_edge.runs.opened import open_run
from lenet_edge.runs.run import Run
from lenet_edge_runtime.errors import DataError, ModelFileError
from trained_runs import EVERYWHERE, exported, make_run


def one_hot(classes: np.ndarray) -> np.ndarray:
    return np.eye(10, dtype=np.float32)[classes]


def test_figures_are_those_of_the_table_of_pairs() -> None:
    """100 images: the reference loses 4 of them alone, the file 7; both miss 3; on 2 of those they differ."""
    labels = np.arange(100) % 10
    wrong, wronger = (labels + 1) % 10, (labels + 2) % 10
    reference, model = labels.copy(), labels.copy()
    reference[:4] = wrong[:4]
    model[4:11] = wrong[4:11]
    reference[11:14] = wrong[11:14]
    model[11:14] = [wrong[11], wronger[12], wronger[13]]
    found = compare("x.onnx", "onnx", one_hot(model), one_hot(reference), labels, max_drop_pp=20)
    assert found.accuracy == 0.9
    assert found.agreement == pytest.approx(1 - (4 + 7 + 2) / 100)
    assert found.accuracy_drop_pp == pytest.approx(3)
    assert found.drop_lower95_pp < 3 < found.drop_upper95_pp
    assert found.mcnemar_p == pytest.approx(stats.binomtest(4, 11).pvalue)
    assert found.max_abs_logit_difference == 1
    assert found.passed


def test_gate_is_the_upper_end_of_the_interval() -> None:
    labels = np.zeros(1000, np.int64)
    model = labels.copy()
    model[:5] = 1
    upper = compare("x", "onnx", one_hot(model), one_hot(labels), labels, 1.0).drop_upper95_pp
    assert upper > 0.5
    assert compare("x", "onnx", one_hot(model), one_hot(labels), labels, upper + 0.001).passed
    assert not compare("x", "onnx", one_hot(model), one_hot(labels), labels, upper - 0.001).passed


def test_logits_that_are_no_numbers_fail() -> None:
    labels = np.zeros(10_000, np.int64)
    broken = one_hot(labels)
    broken[5] = [1, np.nan] + [0] * 8
    assert not compare("x", "onnx", broken, one_hot(labels), labels, 100.0).passed


@pytest.mark.parametrize("name", ["digits_run", "classic_run"])
def test_exported_files_hold(name: str, digits: ImageData, request: pytest.FixtureRequest) -> None:
    run = request.getfixturevalue(name)
    result = verify(exported_files(run), open_run(run), digits, 3.0, same_weights=True)
    assert [verdict.format for verdict in result.verdicts] == EVERYWHERE
    assert result.passed
    assert result.reference_accuracy == pytest.approx(run.read().metrics["test_accuracy"])
    for verdict in result.verdicts:
        if verdict.format != "int8":
            assert verdict.agreement == 1
            assert verdict.max_abs_logit_difference < 1e-4


def test_files_find_their_run(digits_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = exported(digits_run, "int8")
    found = run_of(inside)
    assert found is not None
    assert found.run.folder.resolve() == digits_run.folder.resolve()
    copy = tmp_path / inside.name
    copy.write_bytes(inside.read_bytes())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to(digits_run.folder.parent)
    found = run_of(copy)
    assert found is not None
    assert found.run == Run(Path("runs") / digits_run.name)
    (tmp_path / "runs").unlink()
    assert run_of(copy) is None


@pytest.mark.parametrize("other", ["mean", "recipe", "data"])
def test_same_weights_of_another_run_are_not_taken_for_the_files_own(
    other: str, digits_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same weights imported twice, the second time as what they are; a run that cannot be read is left out."""
    from dataclasses import replace

    monkeypatch.chdir(tmp_path)
    record = digits_run.read()
    changed = {
        "mean": replace(record, spec=replace(record.spec, mean=(0.5,))),
        "recipe": replace(record, recipe=replace(record.recipe, name="lenet5-classic")),
        "data": replace(record, data_md5s={"others": "0"}),
    }[other]
    for number, written in enumerate((changed, record, record)):
        run = Run(tmp_path / "runs" / f"x-imported-{number}")
        run.folder.mkdir(parents=True)
        shutil.copy(digits_run.weights_path, run.weights_path)
        run.write(written)
    (tmp_path / "runs" / "damaged").mkdir()
    (tmp_path / "runs" / "damaged" / "run.json").write_text("{")
    path = Path(shutil.copy(exported(digits_run, "onnx"), tmp_path))
    found = run_of(path)
    assert found is not None
    assert found.run == Run(Path("runs/x-imported-1"))
    assert "left out: runs/damaged/run.json is damaged" in capsys.readouterr().err


def test_file_of_other_weights_is_refused(digits_run: Run, digits: ImageData, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", "lenet5", digits, epochs=1)
    with pytest.raises(ModelFileError, match=r"exported from other weights.*--run"):
        verify([exported(other, "onnx")], open_run(digits_run), digits, 3.0, same_weights=True)
    assert (
        verify([exported(other, "onnx")], open_run(digits_run), digits, 3.0, same_weights=False).verdicts[0].agreement
        < 1
    )


def test_data_that_does_not_fit_is_refused(digits_run: Run, digits: ImageData) -> None:
    from dataclasses import replace

    for labels in (("a", "b"), tuple("abcdefghij")):
        with pytest.raises(DataError, match=f"of {', '.join(labels)}, the model takes .* of 0, 1, .*--dataset"):
            verify([], open_run(digits_run), replace(digits, labels=labels), 3.0, same_weights=True)


def test_default_gate_asks_no_more_than_the_images_can_show() -> None:
    assert default_max_drop(0.995, 10_000, strict=True) == 0.10
    assert default_max_drop(0.92, 10_000, strict=True) == 0.30
    assert default_max_drop(0.995, 10_000, strict=False) == 0.30
    few = default_max_drop(0.995, 599, strict=True)
    labels = np.zeros(599, np.int64)
    assert compare("x", "onnx", one_hot(labels), one_hot(labels), labels, few).passed


@pytest.mark.parametrize("engine", ["wasm"], indirect=True)
def test_folder_is_verified_against_its_run(shown: Path, digits_run: Run, tmp_path: Path, cli: CommandLine) -> None:
    assert "net-wasm is of a format that carries no evidence; name its run by --run" in cli.fails(
        "verify", shutil.copytree(shown, "net-wasm")
    )
    assert verified_in_its_run(shown, digits_run, tmp_path, cli) == ["wasm"]


def test_c_is_verified_against_its_run(c_folder: Path, digits_run: Run, tmp_path: Path, cli: CommandLine) -> None:
    assert verified_in_its_run(c_folder, digits_run, tmp_path, cli) == ["c"]


def verified_in_its_run(folder: Path, run: Run, tmp_path: Path, cli: CommandLine) -> list[str]:
    """The formats that `verify` names when it is given a copy of the folder within a copy of the run."""
    copy = shutil.copytree(run.folder, tmp_path / "run")
    result = cli("verify", shutil.copytree(folder, copy / "export" / folder.name), "--max-drop", "100", "--json")
    assert result.exit_code == 0, result.output
    return [item["format"] for item in json.loads(result.stdout)["models"]]
