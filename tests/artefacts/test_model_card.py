"""The model card: its head parses, its figures are the files', its program runs, and it says the same every time."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import CommandLine
from lenet_edge.artefacts import model_card
from lenet_edge.artefacts.exporting import ExportReport, export_run
from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.opened import open_run
from lenet_edge.runs.reference import run_model
from lenet_edge.runs.run import Run
from lenet_edge_exporters import FORMATS
from lenet_edge_runtime.proof import KNOWN_ANSWERS, KnownAnswers
from lenet_edge_runtime.sessions import open_session
from trained_runs import EVERYWHERE


@pytest.fixture(scope="module")
def report(digits_run: Run, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    """All formats of the digits run, exported with their card."""
    return export_run(open_run(digits_run), EVERYWHERE, out=tmp_path_factory.mktemp("card"), max_drop_pp=100)


def parse_yaml(text: str) -> Any:
    """The small part of YAML that a head is written in: nested maps and lists, JSON or plain values."""
    lines = [(len(line) - len(line.lstrip()), line.strip()) for line in text.splitlines()]

    def value(text: str) -> Any:
        if re.fullmatch(r'".*"|-?[\d.]+(e-?\d+)?', text):
            return json.loads(text)
        assert re.fullmatch(r"[A-Za-z][\w./-]*", text), text
        return text

    def block(indent: int) -> Any:
        if not (lines and lines[0][1].startswith("- ")):
            found = {}
            while lines and lines[0][0] == indent and not lines[0][1].startswith("- "):
                key, _, rest = lines.pop(0)[1].partition(":")
                assert key not in found
                found[key] = value(rest.strip()) if rest else block(lines[0][0])
            return found
        items = []
        while lines and lines[0][0] == indent and lines[0][1].startswith("- "):
            content = lines[0][1][2:]
            if re.match(r"[\w-]+:( |$)", content):
                lines[0] = (indent + 2, content)
                items.append(block(indent + 2))
            else:
                lines.pop(0)
                items.append(value(content))
        return items

    parsed = block(0)
    assert lines == []
    return parsed


def head_of(text: str) -> Any:
    _, head, _ = text.split("---\n", 2)
    return parse_yaml(head)


def program_of(text: str) -> str:
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return str(program)


def rows_of(text: str) -> dict[str, list[str]]:
    """The table's cells by the name of the file."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows[2:]}


def numbers(cells: list[str]) -> list[float]:
    return [
        float(number.replace(",", "")) for cell in cells for number in re.findall(r"[+-]?\d[\d,]*\.?\d*(?= |$)", cell)
    ]


def test_head_has_the_fields_of_the_hub(report: ExportReport) -> None:
    head = head_of(report.model_card.read_text(encoding="utf-8"))
    assert head["pipeline_tag"] == "image-classification"
    assert head["library_name"] == "onnx"
    assert {"lenet-edge", *EVERYWHERE} <= set(head["tags"])
    assert head["datasets"] == ["digits"]
    assert head["metrics"] == ["accuracy"]
    assert head["license"]
    (entry,) = head["model-index"]
    (result,) = entry["results"]
    assert result["task"] == {"type": "image-classification"}
    assert result["dataset"] == {"type": "digits", "name": "scikit-learn's digits", "split": "test"}
    measured = {item.path.name: item.card["accuracy"] for item in report.artifacts if item.card}
    assert {item["name"].removeprefix("Accuracy of "): item["value"] for item in result["metrics"]} == measured


def test_every_number_of_the_table_is_the_files(report: ExportReport) -> None:
    rows = rows_of(report.model_card.read_text(encoding="utf-8"))
    assert list(rows) == [item.path.name for item in report.artifacts]
    for item in report.artifacts:
        card = item.card
        assert card is not None
        percents = [100 * value for value in (card["accuracy"], *card["accuracy_ci95"], card["agreement"])]
        size, *figures = numbers(rows[item.path.name])
        assert size == item.path.stat().st_size
        assert figures[:5] == pytest.approx([*percents, card["accuracy_drop_pp"]], abs=0.00501)
        assert figures[5:] == pytest.approx(card["drop_ci95_pp"], abs=0.000501)
        assert rows[item.path.name][-1] == "passed"


def test_hashes_are_those_of_the_files(report: ExportReport) -> None:
    text = report.model_card.read_text(encoding="utf-8")
    for item in report.artifacts:
        assert f"{item.sha256}  {item.path.name}\n" in text


def test_no_heading_is_empty_and_nothing_private_is_said(report: ExportReport) -> None:
    text = report.model_card.read_text(encoding="utf-8")
    sections = re.split(r"^## .*\n", text, flags=re.MULTILINE)[1:]
    assert len(sections) == 5
    assert all(len(section.strip()) > 100 for section in sections)
    assert not [place for place in (str(report.model_card.parent), str(Path.home()), sys.prefix) if place in text]


def test_same_card_twice(digits_run: Run, report: ExportReport, tmp_path: Path) -> None:
    again = export_run(open_run(digits_run), EVERYWHERE, out=tmp_path / "elsewhere", max_drop_pp=100)
    assert again.model_card.read_bytes() == report.model_card.read_bytes()


def test_program_of_the_card_runs_as_it_stands(report: ExportReport, digits_run: Run) -> None:
    """On the images that travel in the file; what is right, the PyTorch model says."""
    program = program_of(report.model_card.read_text(encoding="utf-8"))
    assert not {"torch", "lenet_edge", "onnx"} & set(re.findall(r"^import (\w+)", program, re.MULTILINE))
    lines = run_program(program, report.model_card.parent)
    file = next(item.path for item in report.artifacts if item.path.name in program)
    texts = open_session(file).get_modelmeta().custom_metadata_map
    expected = run_model(digits_run).logits(KnownAnswers.from_json(texts[KNOWN_ANSWERS]).pixels).argmax(1)
    assert [line.split()[0] for line in lines] == [str(label) for label in expected]


def test_program_and_contract_for_a_float_input(digits_run: Run, tmp_path: Path) -> None:
    found = export_run(open_run(digits_run), ["onnx"], out=tmp_path, max_drop_pp=100, input_type="float32")
    text = found.model_card.read_text(encoding="utf-8")
    assert "Input `images`: float32 [batch, 1, 32, 32]" in text
    session = open_session(found.artifacts[0].path)
    answers = KnownAnswers.from_json(session.get_modelmeta().custom_metadata_map[KNOWN_ANSWERS])
    expected = run_model(digits_run).logits(answers.pixels).argmax(1)
    lines = run_program(program_of(text), tmp_path)
    assert [line.split()[0] for line in lines] == [str(label) for label in expected]


@pytest.mark.parametrize("format_name", [name for name in EVERYWHERE if FORMATS[name].seal is None])
def test_program_for_a_file_that_carries_no_images(
    format_name: str, report: ExportReport, digits_run: Run, digits: ImageData, tmp_path: Path
) -> None:
    (artifact,) = (item for item in report.artifacts if item.format == format_name)
    program = program_of(model_card.render(digits_run.read(), [artifact]))
    shutil.copy(artifact.path, tmp_path)
    np.save(tmp_path / "images.npy", digits.test_pixels[:5])
    expected = run_model(digits_run).logits(digits.test_pixels[:5]).argmax(1)
    assert [line.split()[0] for line in run_program(program, tmp_path)] == [str(label) for label in expected]


def run_program(program: str, folder: Path) -> list[str]:
    command = [sys.executable, "-W", "ignore", "-c", program]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.splitlines()


def test_rejected_file_is_named_so_and_not_recommended(report: ExportReport, digits_run: Run) -> None:
    passed, other = report.artifacts[1:3]
    rejected = replace(other, path=other.path.with_name("net.int8.rejected.onnx"), passed=False)
    text = model_card.render(digits_run.read(), [rejected, passed])
    assert rows_of(text)["net.int8.rejected.onnx"][-1] == "REJECTED"
    assert "`net.int8.rejected.onnx` was REJECTED: its drop may reach" in text
    assert passed.path.name in program_of(text)
    none = model_card.render(digits_run.read(), [rejected])
    assert "use none of them" in none
    assert "```python" not in none


def test_card_is_that_of_the_last_export(cli: CommandLine, digits_run: Run) -> None:
    shutil.copytree(digits_run.folder, cli.folder / "runs" / "one")
    assert cli("export", "--format", "onnx", "--out", "out", "--max-drop", "100").exit_code == 0
    result = cli("export", "--format", "int8", "--out", "out", "--max-drop", "100")
    assert "the model card: out/README.md" in result.stderr
    text = Path("out/README.md").read_text(encoding="utf-8")
    assert list(rows_of(text)) == ["lenet5-digits.int8.onnx"]
    assert Path("out/lenet5-digits.onnx").exists()


def test_readme_of_somebody_else_is_left_alone(cli: CommandLine, digits_run: Run) -> None:
    shutil.copytree(digits_run.folder, cli.folder / "runs" / "one")
    Path("README.md").write_text("# My app\n", encoding="utf-8")
    document = json.loads(cli("export", "--format", "onnx", "--out", ".", "--max-drop", "100", "--json").stdout)
    assert document["model_card"] == "MODEL_CARD.md"
    assert Path("README.md").read_text(encoding="utf-8") == "# My app\n"
    assert "lenet5-digits.onnx" in Path("MODEL_CARD.md").read_text(encoding="utf-8")


def test_imported_weights_claim_no_training(digits_run: Run, report: ExportReport) -> None:
    record = replace(digits_run.read(), status="imported", metrics={"parameters": 61_706})
    text = model_card.render(record, report.artifacts)
    assert "trained elsewhere" in text
    assert "epochs" not in text


def test_card_without_a_measurement_is_refused(digits_run: Run, report: ExportReport) -> None:
    with pytest.raises(ValueError, match="each measured on a test set"):
        model_card.render(digits_run.read(), [replace(report.artifacts[0], card=None)])
