"""The scripts that print the tables of README and docs/, against the figures of the library."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lenet_edge.data.image_data import ImageData
from lenet_edge.evaluation.run_verification import verify
from lenet_edge.networks.models import LeNet5
from lenet_edge.networks.recipes import RECIPES
from lenet_edge.runs.exported import exported_files
from lenet_edge.runs.opened import open_run
from lenet_edge.runs.run import Run
from lenet_edge_runtime import Classifier
from lenet_edge_runtime.latency import Timing
from trained_runs import EVERYWHERE, exported

ROOT = Path(__file__).parents[2]


def run_script(*arguments: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import peers

    return peers


def test_table_has_a_row_for_each_format_and_says_how_it_came_about(digits_run: Run, digits: ImageData) -> None:
    arguments = ["benchmarks/tables.py", str(digits_run.folder), "--rounds", "2", "--calls", "5"]
    title, _, _, _, *rows, _, beside, _, conditions = run_script(*arguments)
    assert title == "lenet5 on digits:"
    assert "of float32's time" in beside
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [row[0] for row in cells] == ["PyTorch", *(f"`{name}`" for name in EVERYWHERE)]
    expected = verify(exported_files(digits_run), open_run(digits_run), digits, 100, same_weights=True)
    for (_, size, accuracy, agreement, drop, latency, ratio), verdict in zip(cells[1:], expected.verdicts, strict=True):
        assert size == f"{Path(verdict.path).stat().st_size / 1000:.1f} kB"
        assert accuracy == f"{100 * verdict.accuracy:.2f} %"
        assert agreement == f"{100 * verdict.agreement:.2f} %"
        assert drop.startswith(f"{verdict.accuracy_drop_pp:+.2f} (")
        assert drop.endswith(f"to {verdict.drop_upper95_pp:+.2f})")
        p50, pytorch = float(latency.split()[0]), float(cells[0][5].split()[0])
        value, low, high = map(float, re.findall(r"[\d.]+", ratio))
        assert low <= value <= high
        assert 0.3 < value / (p50 / pytorch) < 3  # of two rounds of five calls: medians of other sets of calls
    assert "n = 599 (digits) test images" in conditions
    assert "10 calls each (2 rounds of 5" in conditions
    assert conditions.endswith(f"Command: `python {' '.join(arguments)}`")


def test_peers_has_a_row_for_each_backend(digits_run: Run) -> None:
    arguments = ["benchmarks/peers.py", str(digits_run.folder), "--rounds", "8", "--calls", "5", "--peers"]
    title, _, _, _, *tables, _, aim, no_peer, _, conditions = run_script(*arguments)
    assert title == "lenet5 on digits:"
    rows, sizes = tables[: tables.index("")], tables[tables.index("") + 3 :]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert sorted(tuple(row[:3]) for row in cells) == [
        ("PyTorch eager", "float32", "run"),
        ("TorchScript", "float32", "run"),
        *(("onnxruntime", precision, call) for precision in ("float32", "int8") for call in ("bound", "run")),
    ]
    medians = [float(row[3].split()[0]) for row in cells]
    assert medians == sorted(medians)
    assert all(int(row[5].removesuffix(" %")) > 0 for row in cells if row[1] == "float32" and "onnx" in row[0])
    assert {row[7] for row in cells if row[1] == "float32"} == {"100.00 %"}
    size = {tuple(found[:2]): found[2:] for row in sizes for found in [[cell.strip() for cell in row.split("|")[1:-1]]]}
    assert set(size) == {tuple(row[:2]) for row in cells}
    assert size["onnxruntime", "int8"][0] == f"{exported(digits_run, 'int8').stat().st_size / 1000:.1f}"
    assert size["onnxruntime", "int8"][3] == "100.00 %"
    assert float(size["onnxruntime", "float32"][2]) < 1e-4 < float(size["onnxruntime", "int8"][2])
    assert 10 < float(size["onnxruntime", "int8"][1]) < float(size["TorchScript", "float32"][1])  # packages, MB
    assert "times as fast as PyTorch eager" in aim
    assert no_peer.startswith("- No peer is faster")
    assert "40 calls each (8 rounds of 5" in conditions
    assert conditions.endswith(f"Command: `python {' '.join(arguments)}`")


def test_peers_says_which_is_faster(peers: Any) -> None:
    def result(backend: str, us: float, precision: str = "float32") -> Any:
        timing = Timing(us, None, None, (us, us), None, None, 8, 8, (us,) * 8, 1, 1)
        contender = peers.Contender(backend, precision, "run", lambda: None, lambda _: None, lambda: None)
        return peers.Result(contender, timing, timing, peers.Answers(1.0, 0.0, 0.0), 0)

    ours = [result("onnxruntime", 20), result("onnxruntime", 30, "int8"), result("PyTorch eager", 200)]
    assert peers.findings([*ours, result("slow", 21)]) == [
        "- onnxruntime in float32 is 10.0 times as fast as PyTorch eager (10.0 to 10.0, 99 %); the aim of 8 is "
        "reached.",
        "- No peer is faster than our float32 file on onnxruntime, called in the same way.",
    ]
    missed, faster = peers.findings([ours[0], result("PyTorch eager", 100), result("quick", 15)])
    assert missed.endswith("the aim of 8 is missed.")
    assert faster.startswith("- FASTER than our file on onnxruntime: quick, float32, run takes 0.75 of its time")


def test_peers_that_answer_otherwise_have_no_timing(peers: Any, digits_run: Run, digits: ImageData) -> None:
    images = digits.test_pixels[:100]
    logits = Classifier(exported(digits_run, "onnx")).logits

    def answers(answer: Any) -> Any:
        contender = peers.Contender("a", "float32", "run", lambda: None, answer, lambda: None)
        return peers.answers(contender, images, logits(images), logits(images[::-1])[::-1])

    assert answers(logits) == peers.Answers(1, 0, 1)
    with pytest.raises(peers.GateError, match="its timing means nothing"):
        answers(lambda pixels: logits(pixels) * np.float32(1.01))


def test_folded_network_is_the_network(peers: Any, digits_run: Run, digits: ImageData) -> None:
    import backends
    from lenet_edge.runs.reference import load_net, run_model

    record, images = digits_run.read(), digits.test_pixels[:100]
    with torch.inference_mode():
        found = backends.Folded(load_net(digits_run, record), record.spec)(torch.tensor(images)).numpy()
    assert found == pytest.approx(run_model(digits_run).logits(images), abs=1e-4)


def test_macs_of_lenet(peers: Any) -> None:
    """Counted by the layers themselves: a multiply-accumulate for each weight and each place it is put to."""
    counted = []

    def count(layer: nn.Module, _: Any, output: torch.Tensor) -> None:
        places = output[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1
        counted.append(layer.weight.numel() * places)

    net = LeNet5(RECIPES["lenet5"].model).eval()
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        net(torch.zeros(1, 1, 32, 32))
    assert sum(counted) == peers.MACS


def test_time_to_accuracy_is_that_of_the_shortest_schedule_which_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from time_to_accuracy import OURS, Result, Schedule, first_to_reach, targets_table

    one, ten, theirs = Schedule(OURS, 1), Schedule(OURS, 10), Schedule("usual", 1)
    results = {
        one: [Result(0.992, 3.0, 6.0), Result(0.989, 3.2, 6.4)],
        ten: [Result(0.996, 30.0, 33.0), Result(0.994, 31.0, 35.0)],
        theirs: [Result(0.97, 9.0, 13.0)],
    }
    assert [first_to_reach(results, OURS, target) for target in (0.99, 0.993, 0.999)] == [one, ten, None]
    assert targets_table(results)[2:] == [
        "| lenet-edge | 3.1 / 6.2 | 3.1 / 6.2 | 30.5 / 34.0 | 30.5 / 34.0 |",
        "| usual | not reached | not reached | not reached | not reached |",
    ]
