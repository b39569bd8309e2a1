"""The command line as a user has it: what it prints, its JSON keys, its exit codes, and its one line on bad input."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from command_line import CommandLine
from lenet_edge.data.datasets import load_dataset
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.models import LeNet5
from lenet_edge.networks.recipes import RECIPES
from lenet_edge.runs.finding import find_run
from lenet_edge.runs.opened import open_run
from lenet_edge.runs.reference import run_model
from lenet_edge.runs.run import Run
from lenet_edge_exporters import FORMATS
from trained_runs import EVERYWHERE, exported

MANIFEST = "lenet-edge-manifest.json"

TRAIN_KEYS = {
    "run", "recipe", "dataset", "parameters", "epochs", "seconds", "images_per_second", "val_accuracy",
    "test_accuracy", "device",
}  # fmt: skip
VERIFY_KEYS = {
    "path", "format", "accuracy", "agreement", "max_abs_logit_difference", "accuracy_drop_pp", "drop_upper95_pp",
    "mcnemar_p", "passed",
}  # fmt: skip
BENCH_KEYS = {
    "backend", "format", "batch", "threads", "p50_us", "p90_us", "p99_us", "p50_ci95_us", "images_per_second",
    "relative_to_pytorch", "bytes",
}  # fmt: skip


@pytest.fixture
def here(cli: CommandLine, digits_run: Run) -> CommandLine:
    """The command line in a folder whose latest run is a copy of the trained digits run."""
    shutil.copytree(digits_run.folder, cli.folder / "runs" / digits_run.name)
    return cli


@pytest.fixture
def png(cli: CommandLine, digits: ImageData) -> Path:
    path = cli.folder / "seven.png"
    index = int((digits.test_labels == 7).argmax())
    Image.fromarray(digits.test_pixels[index, 0]).save(path)
    return path


# --- what works ----------------------------------------------------------------------------------------------------


def test_quickstart(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "lenet5", replace(RECIPES["lenet5"], epochs=12, minimum_steps=1))
    result = cli("quickstart")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("passed") == 3
    run = find_run(None).run
    for path in (run.curves_path, run.weights_path, run.history_path, run.export_folder, run.folder / "samples"):
        assert path.exists()
    assert f"everything is in {run.folder}/" in result.stderr


def test_train_export_verify_bench_predict(cli: CommandLine, png: Path) -> None:
    trained = json.loads(cli("train", "--dataset", "digits", "--epochs", "12", "--threads", "1", "--json").stdout)
    assert set(trained) >= TRAIN_KEYS
    assert trained["parameters"] == 61_706
    assert 0.9 < trained["test_accuracy"] <= 1

    exported_files = json.loads(cli("export", "--int8", "--json").stdout)
    assert exported_files["passed"] is True
    assert exported_files["run"] == trained["run"]
    assert [item["format"] for item in exported_files["artifacts"]] == ["torchscript", "onnx", "int8"]
    for item in exported_files["artifacts"]:
        assert set(item) >= {"format", "path", "bytes", "sha256"}
        assert Path(item["path"]).stat().st_size == item["bytes"]

    verified = json.loads(cli("verify", "--json").stdout)
    assert verified["passed"] is True
    assert verified["reference"]["accuracy"] == pytest.approx(trained["test_accuracy"])
    assert all(set(model) >= VERIFY_KEYS for model in verified["models"])

    measured = json.loads(cli("bench", "--batch", "1,4", "--rounds", "2", "--calls", "5", "--json").stdout)
    assert {"cpu", "instruction_sets", "versions"} <= set(measured["host"])
    assert all(set(row) >= BENCH_KEYS for row in measured["rows"])
    cases = [(row["format"], row["batch"]) for row in measured["rows"]]
    assert cases == [(name, batch) for batch in (1, 4) for name in ("pytorch", "torchscript", "onnx", "int8")]
    assert measured["rows"][0]["relative_to_pytorch"] == 1

    (predicted,) = json.loads(cli("predict", png, "--json").stdout)
    assert set(predicted) == {"path", "label", "index", "probability", "probabilities", "inverted", "known"}
    assert (predicted["label"], predicted["index"]) == ("7", 7)
    assert sum(predicted["probabilities"]) == pytest.approx(1)


def test_tables_for_people(here: CommandLine, png: Path) -> None:
    verified = here("verify", "--max-drop", "5")
    assert verified.exit_code == 0
    assert verified.stdout.count("passed") == len(EVERYWHERE)
    measured = here("bench", "--rounds", "2", "--calls", "5", "--no-memory")
    assert "onnxruntime int8" in measured.stdout
    assert "pytorch pt2" in measured.stdout
    predicted = here("predict", png)
    assert "seven.png" in predicted.stdout


def test_predict_takes_a_model_and_inverts_when_told(here: CommandLine, png: Path, digits_run: Run) -> None:
    paper = png.with_name("paper.png")
    Image.fromarray(255 - np.asarray(Image.open(png))).save(paper)
    for format_name in ("onnx", "ort"):
        model = exported(digits_run, format_name)
        for options in ([], ["--invert", "yes"]):
            assert json.loads(here("predict", model, paper, *options, "--json").stdout)[0]["label"] == "7"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_bring_your_own_weights(suffix: str, cli: CommandLine, classic_run: Run) -> None:
    from safetensors.torch import load_file, save_file

    weights = {key.removeprefix("net."): value for key, value in load_file(classic_run.weights_path).items()}
    path = cli.folder / f"mine{suffix}"
    if suffix == ".pth":
        order = LeNet5(RECIPES["lenet5-classic"].model).state_dict()
        torch.save({f"my.{number}.{key[-6:]}": weights[key] for number, key in enumerate(order)}, path)
    else:
        save_file(weights, path)
    spec = classic_run.read().spec
    result = cli(
        "export", path, "--model", "lenet5-classic", "--dataset", "digits", "--int8",
        "--mean", str(spec.mean[0]), "--std", str(spec.std[0]), "--max-drop", "5",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    verified = json.loads(cli("verify", "--max-drop", "5", "--json").stdout)
    assert verified["passed"]
    assert verified["reference"]["accuracy"] == pytest.approx(classic_run.read().metrics["test_accuracy"])


def test_own_folder_of_images(cli: CommandLine, digits: ImageData) -> None:
    for label in (0, 1):
        folder = cli.folder / "my data" / ("zeros" if label == 0 else "ones")
        folder.mkdir(parents=True)
        for number, index in enumerate(np.flatnonzero(digits.train_labels == label)[:60]):
            Image.fromarray(digits.train_pixels[index, 0]).resize((60, 50)).save(folder / f"{number}.png")
    trained = cli("train", "--dataset", "my data", "--epochs", "40", "--json")
    assert trained.exit_code == 0, trained.output
    assert json.loads(trained.stdout)["test_accuracy"] > 0.9
    assert cli("export", "--int8").exit_code == 0
    run = find_run(None).run
    predicted = json.loads(cli("predict", cli.folder / "my data" / "ones" / "3.png", "--json").stdout)
    assert predicted[0]["label"] == "ones"
    shared = [run.record_path, run.history_path, *run.export_folder.iterdir()]
    assert not any(b"my data" in path.read_bytes() for path in shared)


def test_failed_gate_exits_3_and_says_why(here: CommandLine) -> None:
    result = here("verify", "--max-drop", "0.1")
    assert result.exit_code == 3
    assert "599 test images cannot show a drop below 0.64 pp" in result.stderr
    assert json.loads(here("verify", "--max-drop", "0.1", "--json").stdout)["passed"] is False


def test_export_that_fails_the_gate_is_kept_as_rejected_only(here: CommandLine) -> None:
    result = here("export", "--format", "onnx", "--max-drop", "0.1", "--out", "out", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["passed"] is False
    names = ["README.md", MANIFEST, "lenet5-digits.rejected.onnx", "lenet5-digits.rejected.txt"]
    assert sorted(path.name for path in Path("out").iterdir()) == names
    reason = Path("out/lenet5-digits.rejected.txt").read_text(encoding="utf-8")
    assert re.fullmatch(
        r"right on [\d.]+ % of 599 test images where the PyTorch model is on [\d.]+ %: the drop may reach 0.6\d\d "
        r"percentage points, and 0.1 is allowed \(--max-drop\)\n",
        reason,
    )
    assert "`lenet5-digits.rejected.onnx` was REJECTED" in Path("out/README.md").read_text(encoding="utf-8")
    assert "cannot show a drop below 0.64 pp" in result.stderr


def test_rejected_export_leaves_the_former_file_and_its_card(here: CommandLine) -> None:
    def export(max_drop: str) -> tuple[int, dict[str, bytes]]:
        code = here("export", "--format", "onnx", "--max-drop", max_drop, "--out", "out").exit_code
        return code, {path.name: path.read_bytes() for path in Path("out").iterdir() if path.name != MANIFEST}

    code, first = export("100")
    assert (code, sorted(first)) == (0, ["README.md", "lenet5-digits.onnx"])
    code, second = export("0.1")
    assert (code, sorted(set(second) - set(first))) == (
        3,
        ["lenet5-digits.rejected.onnx", "lenet5-digits.rejected.txt"],
    )
    assert {name: second[name] for name in first} == first
    assert export("100") == (0, first)


# --- a file without its run ----------------------------------------------------------------------------------------


@pytest.fixture(params=["onnx", "int8"])
def alone(request: pytest.FixtureRequest, cli: CommandLine, digits_run: Run) -> Path:
    """An exported file in a folder without any run."""
    source = exported(digits_run, request.param)
    return Path(shutil.copy(source, cli.folder / source.name))


def test_verify_on_the_files_own_evidence(alone: Path, cli: CommandLine, digits_run: Run) -> None:
    result = cli("verify", alone)
    assert result.exit_code == 0, result.output
    assert "whole" in result.stdout
    document = json.loads(cli("verify", alone, "--dataset", "digits", "--json").stdout)
    (model,) = document["models"]
    assert document["passed"] is True
    assert document["reference"] is None
    assert model["accuracy"] == model["card"]["accuracy"]
    assert model["card"]["images"] == 599
    assert model["proof"]["known_answers"] == 16


def test_verify_finds_a_flipped_byte(alone: Path, cli: CommandLine) -> None:
    content = bytearray(alone.read_bytes())
    content[len(content) // 3] ^= 1  # within the weights: it loads and answers as if nothing were wrong
    alone.write_bytes(content)
    result = cli("verify", alone)
    assert result.exit_code == 3
    assert "BROKEN" in result.stdout
    assert json.loads(cli("info", alone, "--json").stdout)["sealed"] is False


def test_verify_measures_again_and_compares_with_the_card(cli: CommandLine, digits_run: Run) -> None:
    """A card that promises more than the file holds is found on the data that it names."""
    from lenet_edge_runtime import onnx_file, proof

    content = exported(digits_run, "int8").read_bytes()
    texts = onnx_file.metadata_of(content)
    card = {**json.loads(texts[proof.CARD]), "accuracy": 1.0}
    # Sealed anew, as a forger would: later entries of the same key win.
    Path("forged.int8.onnx").write_bytes(proof.seal(content, {proof.CARD: json.dumps(card)}))
    assert cli("verify", "forged.int8.onnx").exit_code == 0
    assert cli("verify", "forged.int8.onnx", "--dataset", "digits").exit_code == 3


def shifted_digits(folder: Path, by: int, width: int) -> Path:
    """The test images of the digits as a folder, each under its class plus `by`: other bytes, and other labels."""
    data = load_dataset("digits")
    for part, pixels, labels in (
        ("train", data.train_pixels, data.train_labels),
        ("test", data.test_pixels, data.test_labels),
    ):
        for index, (image, label) in enumerate(zip(pixels[:width], labels[:width], strict=True)):
            place = folder / part / str((label + by) % 10)
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0]).save(place / f"{index}.png")
    return folder


@pytest.mark.parametrize("suffix", ["onnx", "int8", "ort"])
def test_verify_on_other_data_judges_what_it_measured(cli: CommandLine, digits_run: Run, suffix: str) -> None:
    """The card promises 97 %; on the same images by other names the file is right, on shifted classes it is wrong."""
    path = Path(shutil.copy(exported(digits_run, suffix), "."))
    right, wrong = shifted_digits(Path("right"), 0, 400), shifted_digits(Path("wrong"), 1, 400)
    result = cli("verify", path, "--dataset", right)
    assert result.exit_code == 0, result.output
    assert "other data than the card's: not compared" in result.stderr
    for options in ((), ("--max-drop", "50")):
        result = cli("verify", path, "--dataset", wrong, *options, "--json")
        assert result.exit_code == 3
        (model,) = json.loads(result.stdout)["models"]
        assert model["accuracy"] < 0.1 < 0.9 < model["card"]["accuracy"]
        assert "other data than the card's: not compared" in model["remark"]
    assert cli("verify", path, "--dataset", wrong, "--max-drop", "100").exit_code == 0
    result = cli("verify", path, "--max-drop", "1")
    assert result.exit_code == 2
    assert "so give --dataset" in result.stderr


def test_verify_of_a_file_without_a_card_has_nothing_to_hold_an_accuracy_against(
    cli: CommandLine, digits_run: Run
) -> None:
    from lenet_edge.artefacts.exporting import export_job
    from lenet_edge_exporters import export

    job = export_job(open_run(digits_run))
    export(job, "onnx", Path("net.onnx"), run_model(digits_run).logits(job.check_pixels))
    assert cli("verify", "net.onnx").exit_code == 0
    result = cli("verify", "net.onnx", "--dataset", "digits")
    assert result.exit_code == 3
    assert "has no card to compare with; name its run by --run" in result.stderr


@pytest.mark.parametrize("labels", [2, 9, 11])
@pytest.mark.parametrize("suffix", ["onnx", "int8"])
def test_other_number_of_labels_than_of_outputs_is_refused_everywhere(
    cli: CommandLine, digits_run: Run, suffix: str, labels: int
) -> None:
    from lenet_edge_runtime import Classifier, ModelFileError, proof
    from lenet_edge_runtime.spec import PREFIX

    names = json.dumps([f"class {number}" for number in range(labels)])
    path = Path(f"forged{FORMATS[suffix].suffix}")
    path.write_bytes(proof.seal(exported(digits_run, suffix).read_bytes(), {PREFIX + "labels": names}))
    Image.new("L", (28, 28)).save("image.png")
    said = f"has 10 outputs and names {labels} labels"
    assert said in cli.fails("verify", path)
    assert said in cli.fails("predict", path, "image.png")
    assert said in cli.fails("evaluate", path, "--dataset", "digits")
    for verify in (True, False):
        with pytest.raises(ModelFileError, match=said):
            Classifier(path, verify=verify)


def test_info(alone: Path, cli: CommandLine) -> None:
    assert "light-on-dark" in cli("info", alone).stdout
    document = json.loads(cli("info", alone, "--json").stdout)
    assert document["metadata"]["labels"] == list("0123456789")
    assert document["metadata"]["card"]["images"] == 599
    assert document["sealed"] is True
    assert document["known_answers"] == 16
    assert document["opsets"] == {"ai.onnx": 18}
    assert sum(document["operators"].values()) > 10


def forged(alone: Path, key: str, text: str) -> Path:
    from lenet_edge_runtime import proof
    from lenet_edge_runtime.spec import PREFIX

    path = Path("forged.onnx")
    path.write_bytes(proof.seal(alone.read_bytes(), {PREFIX + key: text}))
    return path


@pytest.mark.parametrize(
    ("key", "text", "shown"),
    [
        ("recipe", '"mine\\u001b[2J"', r"mine\x1b[2J"),
        ("recipe", "not JSON \x1b[2J\nseal  whole", r"not JSON \x1b[2J\nseal  whole"),
        ("\x1b[2J", "1", r"\x1b[2J"),
        ("labels", "[1, 2, 3]", "1, 2, 3"),
        ("labels", "7", "7"),
        ("labels", '["\\u009b2J", "b"]', r"\x9b2J, b"),
        ("card", '["a", "list"]', "a list"),
        ("card", "3", "3"),
        *(("recipe", "[" * depth + "]" * depth, "recipe") for depth in (300, 900, 100_000)),
        *(("recipe", '{"a":' * depth + "1" + "}" * depth, "recipe") for depth in (300, 450, 900)),
    ],
)
def test_info_prints_any_metadata(key: str, text: str, shown: str, alone: Path, cli: CommandLine) -> None:
    path = forged(alone, key, text)
    for options in ([], ["--json"]):
        result = cli("info", path, *options)
        assert result.exit_code == 0, repr(result.exception)[:300]
        if not options:
            assert shown in result.stdout
            assert "\x1b" not in result.stdout
            assert sum(line.startswith("seal") for line in result.stdout.splitlines()) == 1


@pytest.mark.parametrize("text", ["[]", '{"shape": [Infinity]}', "[" * 100_000])
def test_info_of_damaged_known_answers(text: str, alone: Path, cli: CommandLine) -> None:
    path = forged(alone, "known_answers", text)
    assert f"{path}: the file's known answers are damaged" in cli.fails("info", path)


def test_info_names_what_is_no_onnx_file(cli: CommandLine, digits_run: Run) -> None:
    for path in (exported(digits_run, "ort"), exported(digits_run, "pt2")):
        assert f"error: {path}: not an ONNX model" in cli.fails("info", path)


def test_version_and_help(cli: CommandLine) -> None:
    assert cli("--version").stdout.startswith("lenet-edge ")
    assert cli("--help").exit_code == 0


# --- signals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_stops_training_and_resume_finishes_it(number: signal.Signals, code: int, cli: CommandLine) -> None:
    command = [sys.executable, "-m", "lenet_edge", "train", "--dataset", "digits", "--epochs", "60", "--threads", "1"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=cli.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch"):
            break
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert stdout == ""
    assert "Traceback" not in stderr
    assert "of 60 epochs are kept; go on with: lenet-edge train --resume --out runs/lenet5-digits-1" in stderr
    resumed = cli("train", "--resume", "--json")
    assert resumed.exit_code == 0, resumed.output
    assert json.loads(resumed.stdout)["epochs"] == 60


def test_run_in_use_is_refused(cli: CommandLine, digits_run: Run) -> None:
    shutil.copytree(digits_run.folder, cli.folder / "runs" / "busy")
    code = (
        "import sys, time; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire();"
        "print(1, flush=True); time.sleep(60)"
    )
    lock = cli.folder / "runs" / "busy" / ".lock"
    process = subprocess.Popen([sys.executable, "-c", code, lock], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        assert "in use by another lenet-edge process" in cli.fails("export", "runs/busy")
    finally:
        process.kill()
        process.communicate()


# --- bad input -----------------------------------------------------------------------------------------------------


def test_unknown_names(cli: CommandLine) -> None:
    assert "choose lenet5, lenet5-fast, lenet5-best, lenet5-robust, lenet5-classic" in cli.fails(
        "train", "resnet", "--dataset", "digits"
    )
    assert "choose mnist, fashion-mnist, kmnist, digits" in cli.fails("train", "--dataset", "minst")
    assert "no run.json" in cli.fails("export", "nowhere")
    assert "start one with 'lenet-edge train'" in cli.fails("verify")
    assert "does not exist" in cli.fails("predict", "nowhere.onnx", "image.png")


def test_usage_errors_exit_2(here: CommandLine, png: Path) -> None:
    for arguments in (
        ["train", "--epochs", "0"],
        ["train", "--seed", str(2**64)],
        ["samples", "digits", "--augmented", "--seed", str(2**64)],
        *(["verify", "x.onnx", "--labels", "a,b", "--time-limit", seconds] for seconds in ("inf", "nan", "1e12")),
        ["export", "--format", "coreml"],
        ["export", "--opset", "12"],
        ["export", "weights.pth"],
        ["export", "--mean", "0.1"],
        ["bench", "--batch", "one"],
        ["predict", png, "--invert", "perhaps"],
        ["predict", "model.onnx"],
    ):
        result = here(*arguments)
        assert result.exit_code == 2, (arguments, result.output)
        assert "Traceback" not in result.output


def test_greatest_seed(cli: CommandLine) -> None:
    result = cli("train", "--dataset", "digits", "--epochs", "1", "--seed", str(2**64 - 1), "--json")
    assert json.loads(result.stdout)["seed"] == 2**64 - 1


def test_images_of_one_colour(cli: CommandLine) -> None:
    for label in ("a", "b"):
        folder = cli.folder / "flat" / label
        folder.mkdir(parents=True)
        for number in range(20):
            Image.new("L", (28, 28)).save(folder / f"{number}.png")
    assert "images of flat are all of one colour; give images that show" in cli.fails("train", "--dataset", "flat")
    assert not Path("runs").exists()


def test_run_of_a_device_that_is_not_here(cli: CommandLine, digits_run: Run) -> None:
    run = Run(Path(shutil.copytree(digits_run.folder, "runs/elsewhere")))
    device = "cuda" if sys.platform == "darwin" else "mps"
    run.write(replace(run.read(), status="training", device=device))
    message = cli.fails("train", "--resume")
    assert f"runs/elsewhere was started on {device}, and device '{device}' is not usable" in message
    assert message.endswith("go on with it where that is, or train a new run")


def test_damaged_history(here: CommandLine) -> None:
    run = find_run(None).run
    shutil.rmtree(run.export_folder)
    for content in (b"\xff", run.history_path.read_bytes()[:-30], b"epoch,rate\n1,2\n"):
        run.history_path.write_bytes(content)
        assert "history.csv is missing or damaged" in here.fails("report", "--no-latency")


def test_file_in_place_of_a_run(here: CommandLine) -> None:
    file = next(Path("runs").rglob("*.onnx"))
    for command in ("export", "report"):
        assert f"{file} is a file, not a run: give the folder" in here.fails(command, file)


@pytest.mark.parametrize("options", [["--format", "onnx, ort"], ["--format", "onnx", "--format", "ort,onnx"]])
def test_formats_are_named_apart_or_between_commas(here: CommandLine, options: list[str]) -> None:
    assert here("export", *options, "--out", "out").exit_code == 0
    assert {path.suffix for path in Path("out").glob("lenet5*")} == {".onnx", ".ort"}
    assert "no format is called 'tflight'; did you mean" in here("export", "--format", "onnx,tflight").stderr


def test_run_that_cannot_be_written_to_is_exported_elsewhere(here: CommandLine) -> None:
    """A folder in the lock's place stands for a file system that is read-only, which root could write to otherwise."""
    run = find_run(None).run
    (run.folder / ".lock").unlink(missing_ok=True)
    (run.folder / ".lock").mkdir()
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    assert here("export", "--format", "onnx", "--out", "out").exit_code == 0
    assert Path("out/lenet5-digits.onnx").is_file()
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before
    for inside in ([], ["--out", run.export_folder]):
        assert ".lock" in here.fails("export", "--format", "onnx", *inside)


def test_damaged_data_file(cli: CommandLine) -> None:
    raw = cli.folder / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte.gz").write_bytes(b"\x1f\x8b truncated")
    assert "is damaged: its md5 is" in cli.fails("train", "--data-dir", cli.folder / "data")
    assert not (cli.folder / "runs").exists()


def test_images_that_are_none(here: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    assert "text.png is not an image" in here.fails("predict", tmp_path / "text.png")


def test_damaged_model_file(here: CommandLine, png: Path, digits_run: Run) -> None:
    content = exported(digits_run, "int8").read_bytes()
    Path("cut.onnx").write_bytes(content[: len(content) // 2])
    assert "is not an ONNX model" in here.fails("predict", "cut.onnx", png)


def test_weights_of_another_architecture(cli: CommandLine) -> None:
    torch.save({"fc.weight": torch.zeros(10, 784)}, "linear.pth")
    message = cli.fails("export", "linear.pth", "--model", "lenet5-classic", "--dataset", "digits")
    assert "'fc.weight' has shape [10, 784] where 'layers.c1.0.weight' has [6, 1, 5, 5]" in message
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--mean", "0.1", "--std", "0"], "std has to be above zero, got (0.0,); give --mean and --std as"),
        (["--mean", "nan", "--std", "1"], "mean and std have to be finite, got (nan,) and (1.0,); give --mean"),
        (["--mean", "0", "--std", "inf"], "mean and std have to be finite"),
        (["--mean", "0.1", "--mean", "0.2", "--std", "1"], "mean and std 2 and 1 numbers; give --mean and --std once"),
        ([*["--mean", "0.1"] * 3, *["--std", "1"] * 3], "the images have 1 channel(s), and mean and std 3 and 3"),
    ],
)
def test_wrong_normalisation_makes_no_run_of_the_weights(options: list[str], complaint: str, cli: CommandLine) -> None:
    torch.save(LeNet5(RECIPES["lenet5-classic"].model).state_dict(), "mine.pth")
    message = cli.fails("export", "mine.pth", "--model", "lenet5-classic", "--dataset", "digits", *options)
    assert complaint in message
    assert not Path("runs").exists()


def test_wrong_option_makes_no_run_of_the_weights(cli: CommandLine) -> None:
    torch.save(LeNet5(RECIPES["lenet5-classic"].model).state_dict(), "mine.pth")
    result = cli("export", "mine.pth", "--model", "lenet5-classic", "--dataset", "digits", "--int8-layers", "some")
    assert result.exit_code == 2
    assert not Path("runs").exists()


def test_folder_that_cannot_be_written_to(here: CommandLine) -> None:
    Path("file").write_text("", encoding="utf-8")
    assert "choose a folder that can be written to" in here.fails("export", "--format", "onnx", "--out", "file/below")
    assert "choose a folder that can be written to" in here.fails("train", "--dataset", "digits", "--out", "file/below")


def test_full_disk_loses_nothing(here: CommandLine) -> None:
    """A file-size limit stands for a full disk: writing fails after some bytes, with an OSError either way."""
    before = {path: path.read_bytes() for path in Path("runs").rglob("*.onnx")}
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000));"
        "sys.argv = ['lenet-edge', 'export', '--format', 'onnx', '--opset', '17'];"
        "from lenet_edge.cli import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=here.folder)
    assert result.returncode == 1, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert "has room" in result.stderr
    assert {path: path.read_bytes() for path in Path("runs").rglob("*.onnx")} == before
    assert not list(Path("runs").rglob(".partial*"))


def test_missing_extra_is_named(cli: CommandLine) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['lenet-edge', 'train', '--dataset', 'digits'];"
        "from lenet_edge.cli import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cli.folder)
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].endswith("pip install 'lenet-edge[train]'")
    assert "Traceback" not in result.stderr


def test_table_too_wide_for_the_terminal_becomes_blocks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lenet_edge import console

    columns, rows = ["file", "size", "accuracy"], [["a-long-name.int8.onnx", "74.2 kB", "99.51 %"]]
    console.print_table("a table", columns, rows)
    assert "a-long-name.int8.onnx   74.2 kB    99.51 %" in capsys.readouterr().out
    monkeypatch.setattr(console, "WIDTH", 30)
    console.print_table("a table", columns, rows)
    assert capsys.readouterr().out == "a table\na-long-name.int8.onnx\n  size      74.2 kB\n  accuracy  99.51 %\n"
