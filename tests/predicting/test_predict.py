"""`lenet-edge predict` on files, folders and patterns: all of them, in order, whatever some of them hold."""

import csv
import errno
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import CommandLine
from lenet_edge.data.image_data import ImageData
from lenet_edge.predicting.image_stream import classify_files, find_images
from lenet_edge.predicting.output_formats import text_line
from lenet_edge.runs.run import Run
from lenet_edge_runtime import Classifier, ImageError, Prediction
from trained_runs import exported


@pytest.fixture
def model(digits_run: Run, cli: CommandLine) -> Path:
    source = exported(digits_run, "int8")
    return Path(shutil.copy(source, cli.folder / source.name))


@pytest.fixture
def photos(cli: CommandLine, digits: ImageData) -> Path:
    """Images in two levels of folders, among them what is no image, by its name or in truth."""
    folder = Path("photos")
    for number, place in enumerate(("b/2.png", "a.PNG", "b/1.jpg", "b/c/3.tiff", ".hidden.png", ".cache/4.png")):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.test_pixels[number, 0]).save(path)
    (folder / "notes.txt").write_text("not an image")
    (folder / "b" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_names_of_nothing_are_given_back() -> None:
    assert list(find_images([Path("nowhere.png"), Path("no*thing")])) == [Path("nowhere.png"), Path("no*thing")]


def test_folder_patterns_and_files(photos: Path) -> None:
    whole = ["photos/a.PNG", "photos/b/1.jpg", "photos/b/2.png", "photos/b/broken.png", "photos/b/c/3.tiff"]
    assert list(map(str, find_images([photos]))) == whole
    assert list(map(str, find_images([Path("photos/**/*.png")]))) == ["photos/b/2.png", "photos/b/broken.png"]
    assert list(map(str, find_images([Path("photos/notes.txt"), Path("photos/b/c")]))) == [
        "photos/notes.txt",
        whole[-1],
    ]


def test_links_to_folders_are_followed_but_not_in_circles(photos: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(photos / "a.PNG", elsewhere / "5.png")
    (photos / "b" / "c" / "there").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to((photos / "b" / "c").absolute())
    (photos / "b" / "c" / "here").symlink_to(".")
    (photos / "b" / "c" / "up").symlink_to("..")
    assert list(map(str, find_images([photos / "b"]))) == [
        *(f"photos/b/{name}" for name in ("1.jpg", "2.png", "broken.png", "c/3.tiff", "c/there/5.png")),
    ]
    (photos / "b" / "c" / "up").unlink()
    (photos / "other").symlink_to("b")  # both names of a folder, for each stands in somebody's list
    assert [str(path) for path in find_images([photos]) if path.suffix == ".tiff"] == [
        "photos/b/c/3.tiff",
        "photos/other/c/3.tiff",
    ]


def test_folders_that_cannot_be_read_are_named_and_counted(
    model: Path, photos: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith(("photos/b", "closed")):  # permissions do not keep out root, who runs many a test
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    (photos / "c").mkdir()
    shutil.copy(photos / "a.PNG", photos / "c" / "1.png")
    (photos / "c" / "closed").mkdir()
    monkeypatch.setattr(os, "scandir", refuse)
    assert list(map(str, find_images([photos]))) == ["photos/a.PNG", "photos/b", "photos/c/1.png", "photos/c/closed"]
    assert list(find_images([photos / "b"])) == [photos / "b"]
    result = cli("predict", model, photos, "--format", "csv")
    assert result.exit_code == 1
    assert len(read_csv(result.stdout)) == 2
    assert result.stderr.splitlines()[-1] == "2 of 4 files could not be read"


def test_a_file_whose_name_looks_like_a_pattern(photos: Path) -> None:
    odd = photos / "[1].png"
    shutil.copy(photos / "b" / "2.png", odd)
    assert list(find_images([odd])) == [odd]


def test_unreadable_files_are_named_counted_and_passed_over(model: Path, photos: Path, cli: CommandLine) -> None:
    result = cli("predict", model, photos, "nowhere.png", "--format", "csv")
    assert result.exit_code == 1
    assert [row["path"] for row in read_csv(result.stdout)] == [
        "photos/a.PNG", "photos/b/1.jpg", "photos/b/2.png", "photos/b/c/3.tiff",
    ]  # fmt: skip
    first, second, count = result.stderr.strip().splitlines()
    assert first.startswith("lenet-edge: error: photos/b/broken.png is not an image that can be read")
    assert second == "lenet-edge: error: nowhere.png does not exist: give the path of an image file"
    assert count == "2 of 6 files could not be read"


def test_an_empty_folder_is_an_error(model: Path, cli: CommandLine) -> None:
    Path("empty").mkdir()
    assert "empty is a folder: give an image file, or a folder that holds some" in cli.fails("predict", model, "empty")


def test_all_formats_say_the_same(model: Path, photos: Path, cli: CommandLine) -> None:
    def of(*options: str | Path) -> str:
        result = cli("predict", model, "photos/b/[12].*", *options)
        assert result.exit_code == 0, result.output
        return result.stdout

    document = json.loads(of("--json"))
    assert [json.loads(line) for line in of("--format", "jsonl").splitlines()] == document
    found = Classifier(model).predict_batch(["photos/b/1.jpg", "photos/b/2.png"])
    expected = [{name: value for name, value in vars(item).items() if value is not None} for item in found]
    assert [{**item, "probabilities": tuple(item["probabilities"])} for item in document] == [
        {"path": path, **item} for path, item in zip(("photos/b/1.jpg", "photos/b/2.png"), expected, strict=True)
    ]
    for row, item in zip(read_csv(of("--format", "csv")), document, strict=True):
        assert (row["path"], row["label"], int(row["index"])) == (item["path"], item["label"], item["index"])
        assert float(row["probability"]) == item["probability"]
        assert row["inverted"] == "false"
    for line, item in zip(of().splitlines(), document, strict=True):
        assert line.split() == [item["label"], f"{100 * item['probability']:.2f}", "%", item["path"]]


def test_out_takes_its_format_from_its_name(model: Path, photos: Path, cli: CommandLine) -> None:
    for name, lines in (("answers.csv", 5), ("answers.jsonl", 4), ("answers.txt", 4)):
        result = cli("predict", model, photos, "--out", name)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"4 answers are in {name}" in result.stderr
        assert len(Path(name).read_text(encoding="utf-8").splitlines()) == lines
    assert json.loads(Path("answers.jsonl").read_text(encoding="utf-8").splitlines()[0])["path"] == "photos/a.PNG"
    assert read_csv(Path("answers.csv").read_text(encoding="utf-8"))[0]["path"] == "photos/a.PNG"


def test_no_answers_are_still_one_document(model: Path, photos: Path, cli: CommandLine) -> None:
    result = cli("predict", model, photos / "b" / "broken.png", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, [])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--json", "--out", "x.json"], "--json prints one document"),
        (["--json", "--format", "csv"], "--json prints one document"),
        (["--format", "xml"], "--format is one of text, csv, jsonl, parquet, got 'xml'"),
        (["--split", "--format", "parquet", "--out", "x.parquet"], "--split writes text, csv or jsonl"),
        (["--fit", "crop"], "--fit is one of auto, mnist, resize, got 'crop'"),
    ],
)
def test_usage(options: list[str], complaint: str, model: Path, photos: Path, cli: CommandLine) -> None:
    result = cli("predict", model, photos, *options)
    assert result.exit_code == 2
    assert complaint in " ".join(result.stderr.replace("│", " ").split())


def test_fit_and_polarity_are_passed_on(model: Path, cli: CommandLine, digits: ImageData) -> None:
    digit = digits.test_pixels[0, 0]
    Image.fromarray(255 - np.roll(digit, 4, axis=1)).save("ink.png")
    classifier = Classifier(model)
    for options, policies in (
        ([], {}),
        (["--fit", "mnist"], {"fit": "mnist"}),
        (["--fit", "resize", "--invert", "no"], {"fit": "resize", "invert": False}),
    ):
        (found,) = json.loads(cli("predict", model, "ink.png", "--json", *options).stdout)
        expected = classifier.predict("ink.png", **policies)
        assert (found["probability"], found["inverted"]) == (expected.probability, expected.inverted)


def test_split_says_the_same_in_all_formats(model: Path, cli: CommandLine, digits: ImageData) -> None:
    row = np.concatenate([*digits.test_pixels[:3, 0], np.zeros((28, 4), np.uint8)], axis=1)
    Image.fromarray(row).resize((400, 128)).save("row.png")
    Image.new("L", (40, 40)).save("blank.png")
    Path("broken.png").write_bytes(b"\x89PNG")
    expected = Classifier(model).split("row.png")
    assert len(expected) == 3

    def of(*options: str) -> str:
        result = cli("predict", model, "row.png", "broken.png", "blank.png", "--split", *options)
        assert result.exit_code == 1
        assert "1 of 3 files could not be read" in result.stderr
        return result.stdout

    found, blank = json.loads(of("--json"))
    assert (found["path"], blank) == ("row.png", {"path": "blank.png", "digits": []})
    keys = {"label", "index", "probability", "probabilities", "inverted", "known", "box"}
    assert all(set(digit) == keys for digit in found["digits"])
    said = [(digit["label"], digit["probability"], tuple(digit["box"])) for digit in found["digits"]]
    assert said == [(item.label, item.probability, item.box) for item in expected]
    rows = read_csv(of("--format", "csv", "--jobs", "2"))
    assert [row["digit"] for row in rows] == ["1", "2", "3"]
    boxes = [tuple(int(row[edge]) for edge in ("left", "top", "right", "bottom")) for row in rows]
    assert [(row["label"], float(row["probability"]), box) for row, box in zip(rows, boxes, strict=True)] == said
    *lines, last = of().splitlines()
    assert [(line.split()[0], line.split()[-1]) for line in lines] == [
        (label, ",".join(map(str, box))) for label, _, box in said
    ]
    assert last.split() == ["no", "digits", "blank.png"]


def test_a_damaged_model_is_opened_only_when_told_to(model: Path, photos: Path, cli: CommandLine) -> None:
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    assert "its seal is broken" in cli.fails("predict", model, photos / "a.PNG")
    assert cli("predict", model, photos / "a.PNG", "--no-verify").exit_code == 0


def test_names_that_are_no_text_or_steer_terminals(model: Path, photos: Path, cli: CommandLine) -> None:
    strange = Path(os.fsdecode(b"photos/\xff\x1b[2J.png"))
    shutil.copy(photos / "b" / "2.png", strange)
    for options in ([], ["--format", "csv"], ["--json"]):
        result = cli("predict", model, strange, *options)
        assert result.exit_code == 0, result.output
        assert "\\xff" in result.stdout
    assert "\x1b" not in cli("predict", model, strange).stdout
    strange.write_bytes(b"")
    assert "\x1b" not in cli("predict", model, strange).stderr


def test_labels_do_not_steer_terminals(photos: Path) -> None:
    answer = Prediction("\x1b[2J\nseal", 0, 1.0, (1.0,), False)
    assert text_line(photos / "a.PNG", answer) == "\\x1b[2J\\nseal  100.00 %  photos/a.PNG\n"


def test_one_batch_is_in_memory(model: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an endless stream of files the first answers come before many more are read."""
    read = []

    def endless() -> object:
        while True:
            read.append(1)
            yield photos / "a.PNG"

    answers = classify_files(endless(), Classifier(model), batch=4)
    for number in range(1, 41):
        next(answers)
        assert len(read) <= 4 * -(-number // 4)


def test_errors_keep_their_place(model: Path, photos: Path) -> None:
    paths = [photos / "a.PNG", photos / "b" / "broken.png", photos / "b" / "2.png"]
    kinds = [type(answer) for _, answer in classify_files(paths, Classifier(model), batch=2)]
    assert [kind is ImageError for kind in kinds] == [False, True, False]


# --- which model answers --------------------------------------------------------------------------------------------


def run_of_cwd(run: Run) -> None:
    """Make a run the latest one of the working folder."""
    Path("runs").mkdir()
    Path("runs", "latest").symlink_to(run.folder)


def test_without_a_model_the_latest_run_answers(photos: Path, cli: CommandLine, digits_run: Run) -> None:
    run_of_cwd(digits_run)
    (found,) = json.loads(cli("predict", photos / "a.PNG", "--json").stdout)
    assert found["probability"] == Classifier(exported(digits_run, "int8")).predict(photos / "a.PNG").probability


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        (["runs/other"], [], "runs/other is a run: name a file of it, from runs/other/export; the model is an ONNX"),
        (["other"], [], "other is a run: name a file of it, from runs/other/export"),
        (
            ["net.torchscript.pt"],
            [],
            "net.torchscript.pt is no image: the model is an ONNX, ORT or TFLite file (.onnx, ",
        ),
        (["lenet.so"], [], "lenet.so is no image: the model is an ONNX"),
        (["net-c"], [], "net-c is no image: the model is an ONNX"),
        (
            [],
            ["net.onnx"],
            "net.onnx is no image: the model is an ONNX, ORT or TFLite file (.onnx, .int8.onnx, .ort, .tflite, ",
        ),
        (["net.onnx"], ["net.int8.onnx"], "net.int8.onnx is no image: the model is an ONNX"),
    ],
)
def test_another_model_does_not_answer_in_its_place(
    before: list[str], after: list[str], complaint: str, photos: Path, cli: CommandLine, digits_run: Run
) -> None:
    run_of_cwd(digits_run)
    for name in ("runs/other/run.json", "net-c/lenet.c"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    result = cli("predict", *before, photos / "a.PNG", *after)
    assert (result.exit_code, result.stdout) == (2, "")
    assert complaint in " ".join(result.stderr.replace("│", " ").split())


def test_a_folder_of_images_may_end_like_an_export(photos: Path, cli: CommandLine, digits_run: Run) -> None:
    run_of_cwd(digits_run)
    photos.rename("photos-c")
    assert len(read_csv(cli("predict", "photos-c", "--format", "csv").stdout)) == 4
