"""`lenet-edge bench` beyond its table: the A/A test, results as a file, two measurements compared, memory, the plot."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import CommandLine
from lenet_edge.bench import measuring
from lenet_edge.bench.measuring import BenchPlan, BenchRow, bench, known_images, open_call, timeable
from lenet_edge.bench.memory import measure_memory
from lenet_edge.bench.results import BenchResults, compare_results, remarks_on
from lenet_edge.bench.self_test import judge, run_self_test
from lenet_edge.bench.tables import compiled, int8_beside_float32
from lenet_edge.runs.run import Run
from lenet_edge_runtime.errors import ModelFileError, ResultsError
from lenet_edge_runtime.latency import Opener, Ratio
from trained_runs import exported

QUICK = ("--rounds", "8", "--calls", "5", "--no-memory")
HOST = {
    "cpu": "a CPU", "instruction_sets": ["avx2"], "cores": 2, "cores_usable": 2, "virtual": False, "governor": None,
    "load_1min": 0.1, "system": "Linux x86_64", "versions": {"onnxruntime": "1.31.1"},
}  # fmt: skip


def row(name: str, medians: tuple[float, ...], sha256: str = "aa", batch: int = 1) -> BenchRow:
    return BenchRow(
        p50_us=float(np.median(medians)), p90_us=None, p99_us=None, p50_ci95_us=(min(medians), max(medians)),
        p90_ci95_us=None, p99_ci95_us=None, calls=len(medians), rounds=len(medians), round_medians_us=medians,
        load_us=1.0, first_call_us=1.0, name=name, backend="onnxruntime", format="onnx", batch=batch, threads=1,
        api="run", images_per_second=1.0, relative_to_pytorch=None, relative_ci95=None, bytes=1, sha256=sha256,
        path=name,
    )  # fmt: skip


def results(*rows: BenchRow, **host: object) -> BenchResults:
    return BenchResults({**HOST, **host}, BenchPlan(), list(rows))


STEADY = (40.0, 40.1, 39.9, 40.2, 39.8, 40.0, 40.1, 39.9, 40.0, 40.1)
SLOWER = tuple(1.2 * value for value in STEADY)

# --- the A/A test ---------------------------------------------------------------------------------------------------


def test_self_test_counts_intervals_without_1() -> None:
    same = Ratio(1.0, (0.99, 1.01), (0.98, 1.02))
    by_95_alone = Ratio(1.01, (1.001, 1.02), (0.99, 1.03))
    different = Ratio(1.1, (1.05, 1.15), (1.04, 1.16))
    one = judge("a.onnx", [same] * 17 + [by_95_alone] * 2 + [different], batch=1, threads=1, api="run")
    assert (one.repeats, one.differences, one.outside_95, one.passed) == (20, 1, 3, True)
    assert one.resolution == pytest.approx(0.02)
    assert not judge("a.onnx", [same] * 18 + [different] * 2, batch=1, threads=1, api="run").passed


def test_self_test_compares_a_file_with_its_bytes(digits_run: Run) -> None:
    path = exported(digits_run, "onnx")
    found = run_self_test(path, known_images([path]), batch=1, threads=1, plan=BenchPlan(8, 5, 2), repeats=3)
    assert found.repeats == len(found.ratios) == 3
    assert all(0.2 < ratio.value < 5 for ratio in found.ratios)


def test_what_runs_in_another_process_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    wasm, onnx = Path("net-wasm"), Path("net.onnx")
    assert timeable([onnx, wasm]) == [onnx]
    monkeypatch.setattr(measuring, "check_own", lambda _: None)
    with pytest.raises(ModelFileError, match=r"net-wasm is run by Node .*; 'lenet-edge export net-wasm --web DIR"):
        open_call(wasm, np.zeros((1, 1, 8, 8), np.uint8), 1, "run")


def test_self_test_copies_a_folder(c_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lenet_edge.bench import self_test

    def ratio(pair: dict[str, Opener], *_: object) -> Ratio:
        for opener in pair.values():
            opener()()
        return Ratio(1.0, (0.99, 1.01), (0.98, 1.02))

    monkeypatch.setattr(self_test, "_ratio", ratio)
    pixels = known_images([c_folder])
    assert run_self_test(c_folder, pixels, batch=2, threads=1, plan=BenchPlan(8, 5, 2), repeats=1).passed


def test_self_test_that_fails_exits_3(cli: CommandLine, digits_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from lenet_edge.bench import self_test

    monkeypatch.setattr(self_test, "_ratio", lambda *_: Ratio(1.1, (1.05, 1.15), (1.04, 1.16)))
    path = exported(digits_run, "int8")
    result = cli("bench", path, "--self-test", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["passed"] is False
    assert "differs from its own copy in 20 of 20 repeats" in result.stderr
    monkeypatch.setattr(self_test, "_ratio", lambda *_: Ratio(1.0, (0.99, 1.01), (0.98, 1.02)))
    passed = cli("bench", path, "--self-test", "--json")
    assert passed.exit_code == 0
    (found,) = json.loads(passed.stdout)["self_tests"]
    assert (found["repeats"], found["differences"], found["passed"]) == (20, 0, True)


def test_base_install_measures_without_torch_onnx_and_matplotlib(cli: CommandLine, digits_run: Run) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'onnx', 'onnxscript', 'sklearn', 'matplotlib', 'safetensors', 'filelock',"
        " 'scipy'):\n"
        "    sys.modules[name] = None\n"
        "from lenet_edge.cli import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    assert 'onnxruntime' in sys.modules\n"
    )
    path = exported(digits_run, "int8")
    for options in (["--self-test"], ["--out", "a.json"], ["--compare", "a.json", "--api", "io-binding"]):
        arguments = ["bench", str(path), "--rounds", "8", "--calls", "5", "--json", *options]
        child = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=cli.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        if "io-binding" in options:
            assert child.returncode == 1
            assert "no model in common" in child.stderr
        else:
            assert child.returncode in (0, 3) if "--self-test" in options else child.returncode == 0, child.stderr
            assert json.loads(child.stdout)["host"]


# --- results and their comparison -----------------------------------------------------------------------------------


def test_results_come_back_from_their_file(digits_run: Run, tmp_path: Path) -> None:
    path = exported(digits_run, "onnx")
    plan = BenchPlan(rounds=8, calls=10, api="io-binding")
    found = BenchResults(HOST, plan, bench([path], None, known_images([path]), batches=[1, 2], threads=[1], plan=plan))
    assert {item.api for item in found.rows} == {"io-binding"}
    found.write(tmp_path / "a.json")
    assert BenchResults.read(tmp_path / "a.json") == found


def test_results_of_an_older_version_are_read(tmp_path: Path) -> None:
    """Version 0.2 did not say how many cores the process could use."""
    older = results(row("net.onnx", STEADY))
    older.host.pop("cores_usable")
    older.write(tmp_path / "a.json")
    assert BenchResults.read(tmp_path / "a.json").host == {**older.host, "cores_usable": None}


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"schema": "another"}', '{"schema": "lenet-edge bench 1"}', "\xff"]
)
def test_files_that_are_no_results(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ResultsError, match=r"is not the results of a measurement .*bench --out"):
        BenchResults.read(tmp_path / "a.json")
    with pytest.raises(ResultsError, match="does not exist: write one by"):
        BenchResults.read(tmp_path / "none.json")


def test_a_change_is_called_where_the_interval_says_so() -> None:
    before = results(row("net.onnx", STEADY), row("other.onnx", STEADY, "bb"))
    (net, other) = compare_results(results(row("net.onnx", SLOWER, "cc"), row("other.onnx", STEADY, "bb")), before)
    assert (net.verdict, net.same_bytes) == ("slower", False)
    assert net.ratio.value == pytest.approx(1.2)
    assert (other.verdict, other.same_bytes) == ("same", True)
    (back,) = compare_results(before, results(row("net.onnx", SLOWER, "cc")))
    assert back.verdict == "faster"
    (few,) = compare_results(results(row("net.onnx", SLOWER[:7], "cc")), before)
    assert few.verdict == "unknown"


def test_where_unchanged_files_differ_it_is_the_machine() -> None:
    before = results(row("net.onnx", STEADY), row("same.onnx", STEADY, "bb"))
    now = results(row("net.onnx", SLOWER, "cc"), row("same.onnx", SLOWER, "bb"))
    changes = compare_results(now, before)
    assert [change.verdict for change in changes] == ["drift", "drift"]
    assert "no difference is reported as a change" in " ".join(remarks_on(now, before, changes))
    newer = replace(now, host={**HOST, "versions": {"onnxruntime": "1.40.0"}})  # then it may be onnxruntime
    changes = compare_results(newer, before)
    assert [change.verdict for change in changes] == ["slower", "slower"]
    assert "onnxruntime was 1.31.1 then and is 1.40.0 now" in remarks_on(newer, before, changes)


def test_results_that_do_not_compare() -> None:
    before = results(row("net.onnx", STEADY))
    with pytest.raises(ResultsError, match=r"another machine .cpu was a CPU, is another"):
        compare_results(results(row("net.onnx", STEADY), cpu="another"), before)
    with pytest.raises(ResultsError, match=r"no model in common: net.onnx now, net.onnx before, at the same --batch"):
        compare_results(results(row("net.onnx", STEADY, batch=8)), before)


def test_busy_machine_is_remarked() -> None:
    busy = results(row("net.onnx", STEADY), load_1min=5.0)
    assert "the machine was busy then (load 5.0 on 2 cores)" in remarks_on(results(), busy, [])


def test_out_compare_and_plot(cli: CommandLine, digits_run: Run) -> None:
    files = [exported(digits_run, "onnx"), exported(digits_run, "int8")]
    first = cli("bench", *files, *QUICK, "--out", "a.json", "--plot", "a.png", "--json")
    assert first.exit_code == 0, first.output
    assert json.loads(Path("a.json").read_text(encoding="utf-8")) == json.loads(first.stdout)
    with Image.open("a.png") as image:
        assert image.width > 600
        assert len(np.unique(np.asarray(image))) > 10
    second = json.loads(cli("bench", *files, *QUICK, "--compare", "a.json", "--json").stdout)
    names = ["pytorch", *(path.name for path in files)]
    assert [change["name"] for change in second["changes"]] == names
    assert all(change["same_bytes"] for change in second["changes"])
    shown = cli("bench", *files, *QUICK, "--compare", "a.json")
    assert "now of then's" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--api", "gpu"], "--api is one of run, io-binding"),
        (["--self-test", "--out", "a.json"], "--self-test cannot be combined with"),
        (["--self-test", "--rounds", "7"], "--self-test needs --rounds 8"),
    ],
)
def test_usage_errors(arguments: list[str], message: str, cli: CommandLine, digits_run: Run) -> None:
    result = cli("bench", exported(digits_run, "onnx"), *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_compare_is_read_before_anything_is_measured(cli: CommandLine, digits_run: Run) -> None:
    assert "none.json does not exist" in cli.fails("bench", exported(digits_run, "onnx"), "--compare", "none.json")


def test_what_a_build_leaves_in_a_folder_is_none_of_it(c_folder: Path, cli: CommandLine) -> None:
    def measured(path: Path) -> tuple[int, str]:
        result = cli("bench", path, "--rounds", "2", "--calls", "2", "--no-memory", "--json")
        assert result.exit_code == 0, result.output
        (row,) = json.loads(result.stdout)["rows"]
        return row["bytes"], row["sha256"]

    copy = Path(shutil.copytree(c_folder, "net-c"))
    size = sum(file.stat().st_size for file in copy.iterdir())
    (copy / "build").mkdir()
    (copy / "lenet.so").write_bytes(b"built")
    digest = hashlib.sha256()
    for file in sorted(c_folder.iterdir()):
        digest.update(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n".encode())
    assert measured(copy) == (size, digest.hexdigest())


@pytest.mark.parametrize(
    ("medians", "said"),
    [
        (SLOWER, "takes 1.20 of float32's time here (1.20 to 1.20, 99 %; batch 1, 1 thread(s)): slower"),
        (tuple(0.8 * value for value in STEADY), "takes 0.80 of float32's time here (0.80 to 0.80, 99 %"),
        (STEADY, "no difference can be told; it is 4.0 times smaller"),
    ],
)
def test_how_int8_stands_beside_float32_is_said(medians: tuple[float, ...], said: str) -> None:
    float32 = replace(row("net.onnx", STEADY), bytes=4)
    int8 = replace(row("net.int8.onnx", medians), format="int8")
    (remark,) = int8_beside_float32([float32, int8])
    assert remark.startswith("net.int8.onnx takes ")
    assert said in remark
    assert int8_beside_float32([int8]) == int8_beside_float32([float32]) == []


def test_few_rounds_call_no_difference_between_int8_and_float32() -> None:
    float32, int8 = row("net.onnx", STEADY[:7]), replace(row("net.int8.onnx", SLOWER[:7]), format="int8")
    assert "95 %" in (remark := int8_beside_float32([float32, int8])[0])
    assert "too few rounds" in remark


def test_opening_c_is_said_to_compile_it() -> None:
    in_c, onnx = replace(row("net-c", STEADY), backend="c"), row("net.onnx", STEADY)
    assert compiled([onnx]) == []
    (remark,) = compiled([onnx, in_c])
    assert remark.startswith("opening c compiles it first")


# --- memory ---------------------------------------------------------------------------------------------------------


def test_memory_grows_with_the_batch(digits_run: Run) -> None:
    path = exported(digits_run, "onnx")
    small, large = (measure_memory(path, (batch, 1, 28, 28), 1) for batch in (1, 4096))
    if small is None or large is None:
        pytest.skip("this system does not tell (all but Linux)")
    assert 0 < small.load_bytes < small.process_bytes
    # The first convolution's output alone: 4096 images of 6 x 28 x 28 float32 are 77 MB.
    assert large.run_bytes - small.run_bytes > 50_000_000


def test_memory_of_the_model_in_pytorch(digits_run: Run) -> None:
    found = measure_memory(digits_run, (1, 1, 28, 28), 1)
    assert found is None or found.process_bytes > 100_000_000
