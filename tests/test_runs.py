"""Run folders: named, found, locked, and written whole or not at all."""

from dataclasses import replace
from pathlib import Path

import pytest

from lenet_edge.runs import Run, RunRecord, create_run, find_run, now
from lenet_edge_exporters import atomic
from lenet_edge_runtime.errors import RunError


@pytest.fixture
def record(digits_run: Run) -> RunRecord:
    return digits_run.read()


def test_record_round_trip(record: RunRecord) -> None:
    assert RunRecord.from_json(record.to_json()) == record


def test_runs_are_numbered(tmp_path: Path) -> None:
    names = [create_run(None, "lenet5-mnist", tmp_path).name for _ in range(3)]
    assert names == ["lenet5-mnist-1", "lenet5-mnist-2", "lenet5-mnist-3"]


def test_latest_finished_run_is_found(tmp_path: Path, record: RunRecord) -> None:
    statuses = ["finished", "imported", "training"]
    for status in statuses:
        create_run(None, "run", tmp_path).write(replace(record, status=status, created=now()))
    assert find_run(None, tmp_path).name == "run-2"
    assert find_run(None, tmp_path, ("training",)).name == "run-3"
    assert find_run(Path("run-1"), tmp_path).name == "run-1"


def test_unfinished_run_says_how_to_go_on(tmp_path: Path, record: RunRecord) -> None:
    create_run(tmp_path / "run", "").write(replace(record, status="training"))
    with pytest.raises(RunError, match="is not finished; go on with it by 'lenet-edge train --resume"):
        find_run(tmp_path / "run")


def test_existing_run_is_not_overwritten(tmp_path: Path, record: RunRecord) -> None:
    create_run(tmp_path, "").write(record)
    with pytest.raises(RunError, match="holds a run already; choose another --out"):
        create_run(tmp_path, "")


@pytest.mark.parametrize("content", ["", "{}", '{"recipe": 5}', "[1, 2]"])
def test_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        Run(tmp_path).read()


def test_folder_in_use_is_refused(tmp_path: Path) -> None:
    with Run(tmp_path).locked(), pytest.raises(RunError, match="in use by another"), Run(tmp_path).locked():
        pass
    with Run(tmp_path).locked():  # free again
        pass


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    atomic.write_text(path, "old")
    with pytest.raises(ZeroDivisionError), atomic.staged(path) as temporary:  # noqa: PT012 - fails halfway
        temporary.write_text("half of the n")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_written_files_follow_the_umask(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "ours", "")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode
