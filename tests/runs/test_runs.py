"""Run folders: named, found, locked, and written whole or not at all."""

import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lenet_edge.runs.finding import find_run
from lenet_edge.runs.record import RunRecord, now
from lenet_edge.runs.run import Run, create_run
from lenet_edge_exporters import atomic
from lenet_edge_runtime.errors import RunError


@pytest.fixture
def record(digits_run: Run) -> RunRecord:
    return digits_run.read()


def test_record_round_trip(record: RunRecord) -> None:
    assert RunRecord.from_json(record.to_json()) == record


def test_runs_are_numbered(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        with create_run(None, "lenet5-mnist", tmp_path) as run:
            names.append(run.name)
    assert names == ["lenet5-mnist-1", "lenet5-mnist-2", "lenet5-mnist-3"]


def test_latest_finished_run_is_found(tmp_path: Path, record: RunRecord) -> None:
    statuses = ["finished", "imported", "training"]
    for status in statuses:
        with create_run(None, "run", tmp_path) as run:
            run.write(replace(record, status=status, created=now()))
    assert find_run(None, tmp_path).run.name == "run-2"
    assert find_run(None, tmp_path, ("training",)).run.name == "run-3"
    assert find_run(Path("run-1"), tmp_path).run.name == "run-1"


def test_unfinished_run_says_how_to_go_on(tmp_path: Path, record: RunRecord) -> None:
    with create_run(tmp_path / "run", "") as run:
        run.write(replace(record, status="training"))
    with pytest.raises(RunError, match="is not finished; go on with it by 'lenet-edge train --resume"):
        _ = find_run(tmp_path / "run").run


def test_existing_run_is_not_overwritten(tmp_path: Path, record: RunRecord) -> None:
    with create_run(tmp_path, "") as run:
        run.write(record)
    with pytest.raises(RunError, match="holds a run already; choose another --out"), create_run(tmp_path, ""):
        pass


def test_of_many_that_begin_one_run_at_once_one_does(tmp_path: Path, record: RunRecord) -> None:
    """Each writes its own seed; whoever got the folder finds its own record there, and all others are refused."""
    threads, start = 8, threading.Barrier(8)

    def begin(seed: int) -> int | None:
        start.wait()
        try:
            with create_run(tmp_path / "run", "") as run:
                run.write(replace(record, seed=seed))
                return seed
        except RunError as error:
            assert re.search("holds a run already|in use by another", str(error))  # noqa: PT017 - either may be
            return None

    with ThreadPoolExecutor(threads) as pool:
        began = [seed for seed in pool.map(begin, range(threads)) if seed is not None]
    assert began == [Run(tmp_path / "run").read().seed]


def test_a_run_that_another_process_is_beginning_is_refused(tmp_path: Path) -> None:
    with (
        create_run(tmp_path, ""),
        pytest.raises(RunError, match="in use by another lenet-edge process"),
        create_run(tmp_path, ""),
    ):
        pass


def test_damaged_record_is_named_and_left_out_where_no_run_was_named(
    tmp_path: Path, record: RunRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        with create_run(tmp_path / name, "") as run:
            run.write(record)
    (tmp_path / "b" / "run.json").write_text("{")
    assert find_run(None, tmp_path).run.name == "a"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"left out: {tmp_path / 'b' / 'run.json'} is damaged")
    with pytest.raises(RunError, match=r"b/run\.json is damaged"):
        _ = find_run(Path("b"), tmp_path).run


@pytest.mark.parametrize("content", ["", "[]", "{}", "\xff"])
def test_damaged_place_of_the_images_is_named(record: RunRecord, tmp_path: Path, content: str) -> None:
    (tmp_path / "local.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(RunError, match=r'local\.json, which says where .* is damaged .*write {"dataset": "FOLDER"}'):
        Run(tmp_path).dataset_argument(record)


def test_what_is_no_run_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file.onnx").write_bytes(b"")
    with pytest.raises(RunError, match=r"file\.onnx is a file, not a run: give the folder"):
        _ = find_run(tmp_path / "file.onnx").run
    (tmp_path / "run.json").mkdir()
    with pytest.raises(RunError, match=r"run\.json cannot be read \(Is a directory\)"):
        _ = find_run(tmp_path).run


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


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder that was exported once, in which its user has built something and written a program."""
    folder = tmp_path / "net-c"
    atomic.write_folder(folder, {"lenet.c": b"first", "lenet.h": b"first"})
    (folder / "build").mkdir()
    (folder / "build" / "lenet.c").write_bytes(b"generated")
    (folder / "main.c").write_bytes(b"mine")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_folder_written_again_keeps_its_users_files(written: Path) -> None:
    atomic.write_folder(written, {"lenet.c": b"second", "lenet.h": b"second"})
    assert contents(written.parent) == {
        "net-c/lenet.c": b"second",
        "net-c/lenet.h": b"second",
        "net-c/build/lenet.c": b"generated",
        "net-c/main.c": b"mine",
    }
    assert [path.name for path in written.parent.iterdir()] == ["net-c"]


@pytest.mark.parametrize("which", [1, 2])
def test_folder_whose_writing_is_interrupted_is_the_old_one(
    which: int, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, calls, rename = contents(written), 0, Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == which:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        atomic.write_folder(written, {"lenet.c": b"second", "lenet.h": b"second"})
    assert contents(written) == before
    assert [path.name for path in written.parent.iterdir()] == ["net-c"]


def test_file_that_cannot_be_kept_is_named(written: Path) -> None:
    before = contents(written)
    os.mkfifo(written / "pipe")
    with pytest.raises(OSError, match=r"cannot be kept .*pipe"):
        atomic.write_folder(written, {"lenet.c": b"second"})
    (written / "pipe").unlink()
    assert contents(written) == before


def test_removing_a_folder_leaves_its_users_files(written: Path) -> None:
    atomic.remove(written, ["lenet.c", "lenet.h"])
    assert contents(written) == {"build/lenet.c": b"generated", "main.c": b"mine"}
    (written / "main.c").unlink()
    (written / "build" / "lenet.c").unlink()
    (written / "build").rmdir()
    atomic.remove(written, ["lenet.c", "lenet.h"])
    assert not written.exists()
    atomic.remove(written, ["lenet.c"])  # nothing to remove
