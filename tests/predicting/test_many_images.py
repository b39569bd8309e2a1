"""`predict` on folders of many images: in several processes, in shards, killed and resumed, the bytes are the same."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import CommandLine
from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.run import Run
from lenet_edge_runtime import Classifier
from trained_runs import exported

COUNT = 700  # in shards of 256: two whole ones and a short one
DIFFERENT = 40  # images; the others are hard links to them
SHARD = ("--shard", "256")
# Who is started in the background of a shell is born deaf to Ctrl-C.
CODE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from lenet_edge.cli import main; main()"
)
PROGRAM = (sys.executable, "-c", CODE, "predict")


def make_folder(folder: Path, digits: ImageData, count: int, broken_every: int) -> None:
    """`count` images in folders of 500, every so many of them no image: hard links to a few files."""
    sources = folder.with_name("sources")
    sources.mkdir(parents=True)
    for number in range(DIFFERENT):
        Image.fromarray(digits.test_pixels[number, 0]).save(sources / f"{number}.png")
    (sources / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for number in range(count):
        place = folder / f"{number // 500:04}"
        if number % 500 == 0:
            place.mkdir(parents=True)
        source = "broken.png" if number % broken_every == broken_every - 1 else f"{number % DIFFERENT}.png"
        os.link(sources / source, place / f"{number:07}.png")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, digits: ImageData) -> Path:
    place = tmp_path_factory.mktemp("many")
    make_folder(place / "images", digits, COUNT, 97)
    return place / "images"


@pytest.fixture
def model(digits_run: Run, cli: CommandLine) -> Path:
    source = exported(digits_run, "int8")
    return Path(shutil.copy(source, cli.folder / source.name))


PARQUET = pytest.param(
    "parquet", marks=pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow (extra hf) is not installed")
)


@pytest.fixture
def images(many: Path, cli: CommandLine) -> Path:
    (cli.folder / "images").symlink_to(many)
    return Path("images")


def shards(place: Path, name: str) -> dict[str, bytes]:
    return {path.name.removeprefix(name): path.read_bytes() for path in sorted(place.glob(f"{name}*"))}


@pytest.mark.parametrize("suffix", ["txt", "csv", "jsonl", PARQUET])
def test_more_processes_write_the_same_bytes(suffix: str, model: Path, images: Path, cli: CommandLine) -> None:
    said = []
    for jobs in (1, 2, 3):
        result = cli("predict", model, images, "--jobs", str(jobs), "--out", f"{jobs}.{suffix}")
        assert result.exit_code == 1
        *complaints, where, counted = result.stderr.splitlines()
        assert counted == f"{COUNT // 97} of {COUNT:,} files could not be read"
        assert where == f"{COUNT - COUNT // 97:,} answers are in {jobs}.{suffix}"
        said.append(complaints)
    assert said[0] == said[1] == said[2]
    assert [line.split(" ")[2] for line in said[0]] == [
        f"images/{number // 500:04}/{number:07}.png" for number in range(96, COUNT, 97)
    ]
    assert Path(f"1.{suffix}").read_bytes() == Path(f"2.{suffix}").read_bytes() == Path(f"3.{suffix}").read_bytes()


def test_standard_output_and_one_document(model: Path, images: Path, cli: CommandLine) -> None:
    for options in ((), ("--format", "csv"), ("--json",)):
        one, two = (cli("predict", model, images / "0001", *options, "--jobs", jobs) for jobs in ("1", "2"))
        assert one.exit_code == two.exit_code == 1
        assert one.stdout == two.stdout
        assert one.stderr == two.stderr
        assert one.output == two.output  # complaints stand between the lines that they stand between today


def test_parquet_holds_what_json_lines_hold(model: Path, images: Path, cli: CommandLine) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    cli("predict", model, images, "--coverage", "0.9", "--out", "a.jsonl")
    cli("predict", model, images, "--coverage", "0.9", "--out", "a.parquet")
    expected = [json.loads(line) for line in Path("a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert parquet.read_table("a.parquet").to_pylist() == expected


@pytest.mark.parametrize("suffix", ["csv", "jsonl", PARQUET])
def test_shards_hold_what_one_file_holds(suffix: str, model: Path, images: Path, cli: CommandLine) -> None:
    for jobs in ("1", "3"):
        Path(jobs).mkdir()
        result = cli("predict", model, images, "--jobs", jobs, *SHARD, "--out", f"{jobs}/a.{suffix}")
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1] == f"{COUNT // 97} of {COUNT:,} files could not be read"
    assert shards(Path("1"), "a") == shards(Path("3"), "a")
    assert list(shards(Path("1"), "a")) == [*(f"-{number:05}.{suffix}" for number in range(3)), ".shards.json"]
    cli("predict", model, images, "--out", f"whole.{suffix}")
    parts = [Path(f"1/a-{number:05}.{suffix}") for number in range(3)]
    if suffix == "parquet":
        from pyarrow import parquet

        assert parquet.read_table("whole.parquet").to_pylist() == [
            row for part in parts for row in parquet.read_table(part).to_pylist()
        ]
        return
    lines = [part.read_text(encoding="utf-8").splitlines(keepends=True) for part in parts]
    assert all(part[0] == lines[0][0] for part in lines) == (suffix == "csv")
    joined = [*lines[0][: suffix == "csv"], *(line for part in lines for line in part[suffix == "csv" :])]
    assert "".join(joined) == Path(f"whole.{suffix}").read_text(encoding="utf-8")


def test_resume_goes_on_and_counts_all(model: Path, images: Path, cli: CommandLine) -> None:
    command = ("predict", model, images, *SHARD, "--out", "a.jsonl")
    assert cli(*command).exit_code == 1
    whole = shards(Path(), "a")
    written = {name: path.stat().st_mtime_ns for name in whole for path in [Path(f"a{name}")]}
    for gone in ("-00001.jsonl", "-00002.jsonl", ".shards.json"):
        Path(f"a{gone}").unlink()
        result = cli(*command, "--resume", "--jobs", "2")
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1] == f"{COUNT // 97} of {COUNT:,} files could not be read"
        assert shards(Path(), "a") == whole
    result = cli(*command, "--resume")  # nothing is left to do
    assert result.stderr.splitlines() == [
        f"{COUNT - COUNT // 97:,} answers are in 3 files, a-00000.jsonl to a-00002.jsonl",
        f"{COUNT // 97} of {COUNT:,} files could not be read",
    ]
    assert all(Path(f"a{name}").stat().st_mtime_ns > time for name, time in written.items())  # after the last removal


def test_resume_of_something_else_is_refused(model: Path, many: Path, cli: CommandLine, digits_run: Run) -> None:
    folder = Path(shutil.copytree(many, "images", copy_function=os.link))
    command = ("predict", model, folder, *SHARD, "--out", "a.jsonl")
    cli(*command)
    assert "of another model, other options, or --shard 256 and not 300" in cli.fails(
        "predict", model, folder, "--shard", "300", "--out", "a.jsonl", "--resume"
    )
    assert "is of another model" in cli.fails(*command, "--invert", "yes", "--resume")
    other = exported(digits_run, "onnx")
    assert "is of another model" in cli.fails("predict", other, *command[2:], "--resume")
    (folder / "0001" / "more.png").hardlink_to(folder / "0000" / "0000000.png")
    assert cli(*command, "--resume").exit_code == 1  # the last, short one is answered again
    again = shards(Path(), "a")
    cli(*command)
    assert shards(Path(), "a") == again
    (folder / "0000" / "0000003.png").unlink()
    assert "the images are not those that a-00000.jsonl answers" in cli.fails(*command, "--resume")
    Path("a.shards.json").write_text(
        '{"schema": "lenet-edge shards 1", "shards": [{"name": "../x"}]}', encoding="utf-8"
    )
    assert "a.shards.json is damaged" in cli.fails(*command, "--resume")


def test_beginning_anew_leaves_no_shard_of_before(model: Path, images: Path, cli: CommandLine) -> None:
    cli("predict", model, images, *SHARD, "--out", "a.jsonl")
    cli("predict", model, images / "0001", *SHARD, "--out", "a.jsonl")
    assert list(shards(Path(), "a")) == ["-00000.jsonl", ".shards.json"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--shard", "256"], "--shard needs --out"),
        (["--resume", "--out", "a.csv"], "--resume goes on with the files of --shard"),
        (["--shard", "10", "--out", "a.csv"], "--shard"),
        (["--format", "parquet"], "--format parquet needs a file"),
        (["--jobs", "0"], "--jobs"),
    ],
)
def test_usage(options: list[str], complaint: str, model: Path, images: Path, cli: CommandLine) -> None:
    result = cli("predict", model, images, *options)
    assert result.exit_code == 2
    assert complaint in " ".join(result.stderr.replace("│", " ").split())


def test_evaluate_by_several_processes(model: Path, digits: ImageData, cli: CommandLine) -> None:
    for number in range(400):
        path = Path("labelled", str(digits.test_labels[number]), f"{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.test_pixels[number, 0]).save(path)
    one, two = (cli("evaluate", model, "--dataset", "labelled", "--jobs", jobs, "--json") for jobs in ("1", "2"))
    assert one.exit_code == two.exit_code == 0, two.output
    assert json.loads(one.stdout) == json.loads(two.stdout)
    (Path("labelled") / "3" / "x.png").write_bytes(b"no image")
    for jobs in ("1", "2"):
        said = cli.fails("evaluate", model, "--dataset", "labelled", "--jobs", jobs)
        assert "labelled/3/x.png is not an image that can be read" in said


# --- kills ----------------------------------------------------------------------------------------------------------


def started(command: tuple[str | Path, ...], until: Path) -> subprocess.Popen[str]:
    """The program, in a process group of its own, once `until` is there."""
    child = subprocess.Popen(
        [str(word) for word in command], start_new_session=True, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    end = time.monotonic() + 120
    while not until.exists() and child.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    return child


def processes_of(group: int, seconds: float = 60.0) -> list[str]:
    """The command lines of the processes of a group that live, once they had so long to end."""
    end = time.monotonic() + seconds
    while True:
        found = subprocess.run(["ps", "-wweo", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 2) for line in found.splitlines()]
        left = [row[2] for row in rows if int(row[0]) == group and not row[1].startswith("Z")]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.05)


def test_kill_and_resume_give_the_same_bytes(model: Path, images: Path, cli: CommandLine) -> None:
    """Killed the hard way; its processes end by themselves, and what it left is swept."""
    options = (model, images, *SHARD, "--jobs", "2", "--out")
    Path("whole").mkdir()
    Path("killed").mkdir()
    assert cli("predict", *options, "whole/a.jsonl").exit_code == 1
    for number in (0, 1):
        child = started((*PROGRAM, *options, "killed/a.jsonl", "--resume"), Path(f"killed/a-{number:05}.jsonl"))
        child.kill()
        child.communicate()
        assert processes_of(child.pid) == []
    assert cli("predict", *options, "killed/a.jsonl", "--resume").exit_code == 1
    assert shards(Path("killed"), "") == shards(Path("whole"), "")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_one_interrupt_stops_all_cleanly(jobs: str, model: Path, images: Path) -> None:
    command = (*PROGRAM, model, *[images] * 60, *SHARD, "--jobs", jobs, "--out", "a.jsonl")
    child = started(command, Path("a-00000.jsonl"))
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to all of them
    said = child.communicate(timeout=60)[1].splitlines()
    assert child.returncode == 130, said
    assert [line for line in said if not line.startswith("lenet-edge: error: images/")] == [
        "stopped; the same command with --resume goes on after the last whole file",
        "lenet-edge: error: interrupted",
    ]
    assert processes_of(child.pid) == []
    assert not list(Path().glob(".partial-*"))


def test_a_process_that_is_ended_from_outside(model: Path, images: Path) -> None:
    command = (*PROGRAM, model, *[images] * 60, *SHARD, "--jobs", "2", "--out", "a.csv")
    child = started(command, Path("a-00000.csv"))
    listed = subprocess.run(["ps", "-wweo", "pid=,pgid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    workers = [int(row[0]) for row in rows if int(row[1]) == child.pid and "spawn_main" in row[2]]
    os.kill(workers[0], signal.SIGKILL)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 1
    assert said.splitlines()[-1].endswith("perhaps for want of memory: try fewer --jobs")
    assert "Traceback" not in said


# Between this process, whose size a child begins with, and the program.
MEASURING = (
    "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); sys.exit(code)"
)


# --- a million ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [3_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_every_image_is_counted_and_memory_is_flat(
    count: int, model: Path, digits: ImageData, cli: CommandLine
) -> None:
    """Against the class of each source, answered alone; memory of the program and its children, by the kernel."""
    make_folder(Path("large"), digits, count, 1009)
    out = Path("out")
    out.mkdir()
    options = ("--fit", "resize", "--jobs", "2", "--shard", max(256, count // 10), "--out", "out/a.csv")
    command = (sys.executable, "-c", MEASURING, *PROGRAM, model, "large", *options)
    start = time.monotonic()
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - start
    failed = count // 1009
    assert done.returncode == (1 if failed else 0), done.stderr[-1000:]
    *_, counted, kilobytes = done.stderr.splitlines()
    assert counted == f"{failed:,} of {count:,} files could not be read"
    classifier = Classifier(model)
    expected = [classifier.predict(f"sources/{number}.png", fit="resize").index for number in range(DIFFERENT)]
    number = 0
    for path in sorted(out.glob("*.csv")):
        for line in path.read_text(encoding="utf-8").splitlines()[1:]:
            number += number % 1009 == 1008
            place, _, index, *_ = line.split(",")
            assert place == f"large/{number // 500:04}/{number:07}.png"
            assert int(index) == expected[number % DIFFERENT]
            number += 1
    assert number + (number % 1009 == 1008) == count
    largest = int(kilobytes) / 1024
    print(f"\n{count:,} images in {seconds:.0f} s, {failed} of them none; largest process {largest:.0f} MB")  # noqa: T201
    assert largest < 250
    assert np.unique(expected).size > 1
