"""Which layers are quantized: what is chosen from given measurements, and that they are of what they say."""

import itertools
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from command_line import CommandLine
from lenet_edge.artefacts import layer_selection
from lenet_edge.artefacts.calibration import Int8Plan, repeat_calibration
from lenet_edge.artefacts.exporting import export_job
from lenet_edge.artefacts.layer_selection import (
    Candidate,
    Selection,
    choose,
    layer_sensitivity,
    mark_front,
    select_layers,
    short_name,
)
from lenet_edge.artefacts.plots import draw_selection
from lenet_edge.data.image_data import VALIDATION_SHARE, ImageData, split_indices
from lenet_edge.evaluation.comparison import strict_max_drop
from lenet_edge.runs.opened import open_run
from lenet_edge.runs.run import Run
from lenet_edge_exporters import ExportJob, int8, open_file
from lenet_edge_exporters.layers import Layer
from lenet_edge_exporters.onnx import build, load
from lenet_edge_runtime.latency import Opener, Timing

Images = tuple[np.ndarray, np.ndarray]
NAMES = ["c1", "c3", "c5", "f6", "output"]


@pytest.fixture(scope="module")
def job(digits_run: Run, digits: ImageData) -> ExportJob:
    return export_job(open_run(digits_run))


@pytest.fixture(scope="module")
def validation(digits_run: Run, digits: ImageData) -> Images:
    _, held_out = split_indices(digits.train_labels, VALIDATION_SHARE, digits_run.read().seed)
    return digits.train_pixels[held_out], digits.train_labels[held_out]


def timing(p50: float) -> Timing:
    return Timing(p50, None, None, (p50 - 0.5, p50 + 0.5), None, None, 10, 2, (p50, p50), 1000, p50)


def cheaper_dense_layers(openers: Mapping[str, Opener]) -> dict[str, Timing]:
    """A latency that can be foretold: 100 us, 20 more for a convolution in int8, 1, 3, 5 less for a dense layer."""
    cost = {"Conv": [20.0, 20.0], "Gemm": [-1.0, -3.0, -5.0]}
    found = {}
    for path in openers:
        graph = onnx.load(path).graph
        weights = {item.name for item in graph.initializer}
        seen = {"Conv": 0, "Gemm": 0}
        total = 100.0
        for node in (node for node in graph.node if node.op_type in cost):
            total += cost[node.op_type][seen[node.op_type]] if node.input[1] not in weights else 0
            seen[node.op_type] += 1
        found[path] = timing(total)
    return found


@pytest.fixture(scope="module")
def selection(job: ExportJob, validation: Images) -> Selection:
    return select_layers(job, *validation, max_drop_pp=2.0, meter=cheaper_dense_layers)


def candidate(names: str, kilobytes: float, p50: float, accuracy: float = 0.99, drop: float = 0.077) -> Candidate:
    layers = tuple(Layer(f"node_{name}", "Gemm", f"layers.{name}.0") for name in names.split())
    return Candidate(layers, int(1000 * kilobytes), p50, (p50 - 0.5, p50 + 0.5), accuracy, 1.0, drop)


FLOAT32 = candidate("", 200, 20)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ([candidate("a", 60, 30), candidate("b", 60, 25)], "b"),
        ([candidate("a", 60, 30), candidate("b", 71, 25)], "a"),  # more than 0.35 of 200 kB
        ([candidate("a", 60, 30), candidate("b", 60, 25, drop=0.178)], "a"),  # 0.101 points beyond float32's own
        ([candidate("a", 60, 30), candidate("b", 60, 25, drop=0.177)], "b"),
        ([candidate("a", 60, 25.9), candidate("b", 65, 25)], "a"),  # as fast as can be told, and smaller
        ([candidate("a", 60, 30, drop=0.5), candidate("b", 60, 40, drop=0.4)], "b"),  # none holds it
        ([candidate("a", 90, 10), candidate("b", 80, 90)], "b"),  # none is small enough
    ],
)
def test_choice(others: list[Candidate], chosen: str) -> None:
    assert choose([FLOAT32, *others], max_drop_pp=0.1).name == chosen


def test_allowed_drop_follows_the_accuracy() -> None:
    assert [strict_max_drop(accuracy) for accuracy in (0.99, 0.92)] == [0.10, 0.30]


def test_front_is_what_nothing_dominates() -> None:
    """The oracle: the definition, over random points."""
    points = np.random.default_rng(0).integers(1, 8, size=(40, 3))
    marked = mark_front([candidate("a", size, p50, good / 10) for size, p50, good in points.tolist()])
    costs = points * [1, 1, -1]
    for item, mine in zip(marked, costs, strict=True):
        dominated = ((costs <= mine).all(1) & (costs < mine).any(1)).any()
        assert item.on_front == (not dominated)


def test_all_subsets_are_measured(selection: Selection) -> None:
    wanted = {" ".join(names) for count in range(1, 6) for names in itertools.combinations(NAMES, count)}
    assert selection.float32.name == "none (float32)"
    assert {item.name for item in selection.candidates[1:]} == wanted
    assert len(selection.candidates) == 32


def test_fastest_small_choice_is_taken(selection: Selection) -> None:
    assert selection.chosen.name == "c5 f6 output"
    assert selection.chosen.p50_us == 91
    assert selection.gate_held
    assert selection.chosen in selection.front
    assert selection.front[0] == selection.chosen


def test_candidates_are_what_would_be_exported(
    selection: Selection, job: ExportJob, validation: Images, tmp_path: Path
) -> None:
    taken = selection.chosen
    content = int8.export(replace(job, int8=replace(job.int8, layers=taken.nodes)))
    (tmp_path / "model.onnx").write_bytes(content)
    answers = load(tmp_path / "model.onnx").logits(validation[0]).argmax(1)
    assert taken.bytes == len(content)
    assert taken.accuracy == (answers == validation[1]).mean()


def test_many_layers_are_added_one_at_a_time(
    job: ExportJob, validation: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_selection, "EXHAUSTIVE_LAYERS", 4)
    found = select_layers(job, *validation, max_drop_pp=2.0, meter=cheaper_dense_layers)
    names = [item.name for item in found.candidates]
    assert names[1:5] == ["output", "f6 output", "c5 f6 output", "c1 c5 f6 output"]
    assert names[5] == "c1 c3 c5 f6 output"
    assert found.chosen.name == "c5 f6 output"


def test_sensitivity_is_of_each_layer_alone(job: ExportJob, validation: Images) -> None:
    """The oracle: one layer's weights ruined, and the graph run by onnxruntime itself."""
    pixels, labels = validation
    rows = layer_sensitivity(job, pixels, labels)
    assert sorted(short_name(row.layer) for row in rows) == NAMES
    damage = [(-row.accuracy_drop_pp, row.agreement, -row.logit_rms_error) for row in rows]
    assert damage == sorted(damage)
    float32 = build(job)
    reference, alone = (
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(
            ["logits"], {"pixels": pixels}
        )[0]
        for model in (
            float32,
            int8.quantize(float32, job.calibration_pixels, replace(job.int8, layers=(rows[0].layer.node,))),
        )
    )
    right, reference_right = (logits.argmax(1) == labels for logits in (alone, reference))
    assert rows[0].accuracy == right.mean()
    assert rows[0].accuracy_drop_pp == pytest.approx(100 * (reference_right.mean() - right.mean()))
    assert rows[0].agreement == (alone.argmax(1) == reference.argmax(1)).mean()
    assert rows[0].logit_rms_error == pytest.approx(np.sqrt(((alone - reference) ** 2).mean()), rel=1e-4)


def test_picture(selection: Selection, tmp_path: Path) -> None:
    contents = []
    for name in ("one.png", "two.png"):
        draw_selection(selection, "lenet5 on digits", tmp_path / name)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    with Image.open(tmp_path / "one.png") as image:
        assert image.size == (1080, 720)


def test_draws_differ_and_are_summed_up(job: ExportJob, digits: ImageData, validation: Images) -> None:
    plan = Int8Plan(images=1, draws=3)
    draws = repeat_calibration(job, digits.train_pixels, plan, *validation)
    assert draws.n == len(draws.accuracies) == 3
    assert draws.mean == pytest.approx(np.mean(draws.accuracies))
    assert draws.sd == pytest.approx(np.std(draws.accuracies, ddof=1))
    assert draws == repeat_calibration(job, digits.train_pixels, plan, *validation)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"images": 0}, "1 to 8192 calibration images, got 0"),
        ({"layers": "some"}, "one of all, linear, auto, got 'some'"),
        ({"draws": 1}, "at least 2 draws"),
    ],
)
def test_plan_validates_itself(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Int8Plan(**fields)  # type: ignore[arg-type]


# --- the command line ----------------------------------------------------------------------------------------------


@pytest.fixture
def here(cli: CommandLine, digits_run: Run, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    shutil.copytree(digits_run.folder, cli.folder / "runs" / digits_run.name)
    monkeypatch.setattr(layer_selection, "_latency", cheaper_dense_layers)
    return cli


def test_auto_shows_the_front_and_records_the_layers(here: CommandLine) -> None:
    shown = here("export", "--format", "int8", "--int8-layers", "auto", "--out", "table")
    assert shown.exit_code == 0, shown.output
    (taken,) = (line for line in shown.stdout.splitlines() if line.rstrip().endswith("chosen"))
    assert taken.split()[:3] == ["c5", "f6", "output"]
    assert "int8 layers chosen: c5 f6 output, 0.91 times float32's latency" in shown.stderr
    assert Path("table/lenet5-digits.int8-layers.png").exists()
    document = json.loads(here("export", "--format", "int8", "--int8-layers", "auto", "--json").stdout)
    assert len(document["int8_selection"]["candidates"]) == 32
    _, model = open_file(Path(document["artifacts"][0]["path"]))
    chosen = document["int8_selection"]["chosen"]
    assert json.loads(model.metadata["lenet_edge.int8_layers"]) == [
        {"node": layer["node"], "op_type": "Gemm"} for layer in chosen["layers"]
    ]
    # The written file carries its card and known answers besides.
    assert 0 < document["artifacts"][0]["bytes"] - chosen["bytes"] < 10_000


def test_calibration_options_are_recorded(here: CommandLine) -> None:
    options = ["--calibration-images", "20", "--calibration-method", "percentile", "--seed", "7"]
    arguments = ["export", "--format", "int8", *options, "--int8-layers", "linear", "--calibration-draws", "2"]
    document = json.loads(here(*arguments, "--json").stdout)
    assert set(document["calibration_draws"]) == {"n", "accuracies", "mean", "sd"}
    assert document["calibration_draws"]["n"] == len(document["calibration_draws"]["accuracies"]) == 2
    _, model = open_file(Path(document["artifacts"][0]["path"]))
    assert json.loads(model.metadata["lenet_edge.calibration"]) == {
        "images": 20, "split": "train", "method": "percentile", "seed": 7,
    }  # fmt: skip
    assert [layer["op_type"] for layer in json.loads(model.metadata["lenet_edge.int8_layers"])] == ["Gemm"] * 3
    assert "over 2 draws of calibration images" in here(*arguments).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--int8-layers", "some"],
        ["--calibration-method", "max"],
        ["--calibration-images", "0"],
        ["--calibration-draws", "1"],
        ["--seed", "-1"],
    ],
)
def test_usage_errors_exit_2(arguments: list[str], here: CommandLine) -> None:
    result = here("export", "--int8", *arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
