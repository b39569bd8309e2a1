"""The networks that come with the package: whole, by name, without a run, and the start of an export."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from command_line import CommandLine
from lenet_edge.runs.finding import find_run
from lenet_edge_runtime import Classifier, ModelFileError
from lenet_edge_runtime.pretrained_files import PRETRAINED, pretrained_file, pretrained_name

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PRETRAINED)
def test_network_proves_itself_and_is_that_of_its_weights(name: str) -> None:
    pytest.importorskip("torch", reason="a device has no torch to compare with")
    classifier = Classifier(name)
    assert classifier.prove().passed
    assert classifier.spec.threshold is not None
    assert pretrained_file(name).stat().st_size < 100_000
    found = find_run(Path(f"pretrained:{name}"))
    assert found.record.spec == classifier.spec
    pixels = np.random.default_rng(0).integers(0, 256, (20, *classifier.spec.pixel_shape), np.uint8)
    assert np.abs(found.model.logits(pixels) - classifier.logits(pixels)).mean() < 0.5


def test_predict_answers_where_there_is_no_run(cli: CommandLine) -> None:
    page = Image.new("L", (200, 260), "white")
    ImageDraw.Draw(page).line([(50, 60), (150, 60), (95, 210)], "black", 9, joint="curve")
    page.save("seven.png")
    result = cli("predict", "seven.png", "--json")
    assert json.loads(result.stdout)[0]["label"] == "7"
    assert "answered by pretrained:mnist" in result.stderr
    assert json.loads(cli("predict", "pretrained:mnist", "seven.png", "--json").stdout)[0]["label"] == "7"
    refused = cli("predict", "pretrained:emnist", "seven.png")
    assert refused.exit_code == 2
    assert "there is mnist" in refused.stderr


def test_answers_to_the_pictures_in_the_docs() -> None:
    """Each table of docs/pictures.md: heads, a row of pictures, a row of answers."""
    lines = (DOCS / "pictures.md").read_text(encoding="utf-8").splitlines()
    tables = [lines[i - 2 : i + 2] for i, line in enumerate(lines) if "](examples/" in line]
    assert len(tables) == 2
    classifier = Classifier("mnist")
    for heads, _, pictures, answers in tables:
        for head, picture, answer in zip(
            *(row.strip("| ").split(" | ") for row in (heads, pictures, answers)), strict=True
        ):
            path = DOCS / picture.partition("](")[2].rstrip(")")
            if "`--split`" in head:
                digits = classifier.split(path)
                assert " ".join(digit.label if digit.known else "?" for digit in digits) == answer
            else:
                found = classifier.predict(path)
                assert (found.label if found.known else "none of these") == answer


def test_a_file_of_that_name_goes_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert pretrained_name("mnist") == pretrained_name("pretrained:mnist") == "mnist"
    (tmp_path / "mnist").write_bytes(b"no model")
    assert pretrained_name("mnist") is None
    with pytest.raises(ModelFileError):
        Classifier("mnist")
