"""The report: valid HTML that needs nothing from outside, holds the run's figures, and says the same every time."""

import base64
import getpass
import io
import json
import re
import shutil
import socket
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from command_line import CommandLine
from lenet_edge.bench.measuring import BenchPlan, bench, describe_bench_host
from lenet_edge.data.image_data import ImageData
from lenet_edge.report import page
from lenet_edge.report.charts import LABEL_HEIGHT, Dot, scatter
from lenet_edge.report.findings import Findings, first_filters, gather
from lenet_edge.report.markup import Markup, tag
from lenet_edge.report.pictures import NEGATIVE, POSITIVE, picture, signed_picture
from lenet_edge.report.scales import Scale, spread
from lenet_edge.runs.exported import PYTORCH
from lenet_edge.runs.opened import open_run
from lenet_edge.runs.run import Run
from trained_runs import EVERYWHERE, exported

VOID = {"img", "meta"}
HOSTILE = ("<img src=x onerror=alert(1)>", "\"quoted\" & 'co' <b>", "]]></style><script>alert(2)")


class Page(HTMLParser):
    """Reads a page strictly: every element that is opened is closed, in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"{tag} repeats an attribute"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    def all(self, name: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag == name]


def check(html: str) -> Page:
    """What every report has to be: readable with no network, no script and no eyes."""
    assert html.startswith("<!DOCTYPE html>\n")
    found = Page(html)
    counts = Counter(name for name, _ in found.elements)
    assert not {"script", "link", "iframe", "object", "base", "form"} & set(counts)
    assert not re.search(r"https?:|@import|javascript:", html)
    assert all(re.match(r"url\(#[a-z-]+\)", use) for use in re.findall(r"url\(.*?\)", html))
    for name, attributes in found.elements:
        assert not [key for key in attributes if key.startswith("on")], name
    assert all(image["src"].startswith("data:image/png;base64,") and image["alt"] for image in found.all("img"))
    identities = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(set(identities)) == len(identities)
    for drawing in found.all("svg"):
        assert drawing["role"] == "img"
        assert set(drawing["aria-labelledby"].split()) <= set(identities)
    assert {link["href"] for link in found.all("a")} <= {f"#{identity}" for identity in identities}
    assert counts["table"] == counts["caption"] >= 1
    assert all(cell["scope"] in ("row", "col") for cell in found.all("th"))
    regions = [attributes for name, attributes in found.elements if attributes.get("role") == "region"]
    assert len(regions) == counts["table"]
    assert all(region["tabindex"] == "0" and region["aria-label"] for region in regions)
    assert found.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in found.all("meta")
    assert counts["h1"] == counts["title"] - counts["svg"] - _cells(html) == 1
    return found


def _cells(html: str) -> int:
    """Squares of the confusion matrix that say what they count."""
    return len(re.findall(r"<g><title>", html))


@pytest.fixture(scope="module")
def findings(digits_run: Run) -> Findings:
    return gather(open_run(digits_run), None)


# --- the page ------------------------------------------------------------------------------------------------------


def test_report_of_a_run_with_files(cli: CommandLine, digits_run: Run) -> None:
    shutil.copytree(digits_run.folder, cli.folder / "runs" / digits_run.name)
    result = cli("report", "--rounds", "2", "--calls", "5", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    path = Path(document["path"])
    assert path == Path("runs") / digits_run.name / "report.html"
    assert path.stat().st_size == document["bytes"] < 500_000
    html = path.read_text(encoding="utf-8")
    found = check(html)
    text = " ".join("".join(found.text).split())
    assert f"{100 * digits_run.read().metrics['test_accuracy']:.2f} %" in text
    for name in EVERYWHERE:
        file = exported(digits_run, name)
        assert file.name in text
        assert f"{file.stat().st_size / 1000:.1f} kB" in text
    for md5 in digits_run.read().data_md5s.values():
        assert md5 in text
    identities = {attributes.get("id") for _, attributes in found.elements}
    assert {"loss-title", "accuracy-title", "confusion-title", "trade-off-title"} <= identities
    assert "Latency: 10 calls each" in text


def test_says_the_same_every_time_and_nothing_of_the_machine(
    findings: Findings, digits_run: Run, tmp_path: Path
) -> None:
    html = page.render(findings)
    copy = Run(tmp_path / "elsewhere")
    shutil.copytree(digits_run.folder, copy.folder)
    assert page.render(gather(open_run(copy), None)) == html
    body = html[html.index("<body>") :]
    visible = re.sub(r'src="data:[^"]*"', "", body)
    for secret in (str(digits_run.folder), digits_run.folder.parent.name, socket.gethostname(), getpass.getuser()):
        assert not re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", visible), secret
    assert "/home/" not in visible


def test_each_kind_of_corruption_is_shown_with_its_accuracy(findings: Findings) -> None:
    found = check(page.render(findings))
    scores = findings.evaluation.corruptions
    assert scores is not None
    shown = {image["alt"].partition(", ")[2]: image for image in found.all("img")}
    for row in scores.kinds:
        assert f"{100 * row.accuracy:.2f}\u00a0%" in found.text
        content = base64.b64decode(shown[row.kind]["src"].partition(",")[2])
        assert Image.open(io.BytesIO(content)).size == (28, 28)
    unmeasured = replace(findings, evaluation=replace(findings.evaluation, corruptions=None))
    assert "the corruptions are defined for grey images of 28 x 28" in page.render(unmeasured)


def test_without_latency(cli: CommandLine, digits_run: Run) -> None:
    result = cli("report", digits_run.folder, "--no-latency", "--out", "mine.html")
    assert result.exit_code == 0, result.output
    assert result.stdout == "mine.html\n"
    html = Path("mine.html").read_text(encoding="utf-8")
    check(html)
    assert "trade-off" not in html
    assert "latency" not in html[html.index("<body>") :].lower()


def test_imported_weights_and_no_files(cli: CommandLine, digits_run: Run) -> None:
    copy = Run(cli.folder / "runs" / "imported")
    shutil.copytree(digits_run.folder, copy.folder, ignore=shutil.ignore_patterns("export", "history.csv"))
    record = copy.read()
    copy.write(replace(record, status="imported", metrics={"parameters": record.metrics["parameters"]}))
    result = cli("report", "imported")
    assert result.exit_code == 0, result.output
    assert "lenet-edge export --int8" in result.stderr
    found = check((copy.folder / "report.html").read_text(encoding="utf-8"))
    assert "The weights were imported: there is no training to show." in found.text
    assert "No files were exported. " in found.text


def test_files_of_other_weights_are_refused(cli: CommandLine, digits_run: Run, classic_run: Run) -> None:
    copy = cli.folder / "runs" / "mixed"
    shutil.copytree(digits_run.folder, copy)
    shutil.copy(exported(classic_run, "onnx"), copy / "export" / "other.onnx")
    assert "was exported from other weights" in cli.fails("report", "mixed", "--no-latency")
    assert not (copy / "report.html").exists()


def test_class_names_that_are_html(cli: CommandLine, digits: ImageData) -> None:
    """A user's folders may be called anything; their names are text, wherever they stand."""
    for label, name in enumerate(HOSTILE):
        folder = cli.folder / "data" / name.replace("/", "\N{FRACTION SLASH}")
        folder.mkdir(parents=True)
        for number, index in enumerate(np.flatnonzero(digits.train_labels == label)[:30]):
            Image.fromarray(digits.train_pixels[index, 0]).save(folder / f"{number}.png")
    assert cli("train", "--dataset", "data", "--epochs", "2", "--threads", "1").exit_code == 0
    assert cli("export", "--format", "onnx", "--max-drop", "100").exit_code == 0
    result = cli("report", "--no-latency", "--out", "report.html")
    assert result.exit_code == 0, result.output
    found = check(Path("report.html").read_text(encoding="utf-8"))
    text = "".join(found.text)
    assert HOSTILE[0] in text
    assert HOSTILE[1] in text
    assert "your own images" in text


def test_a_file_that_fails_the_gate_is_named(findings: Findings) -> None:
    checked = findings.verification
    assert checked is not None
    failed = [replace(item, passed=item.format != "int8") for item in checked.verdicts]
    found = check(page.render(replace(findings, verification=replace(checked, verdicts=failed))))
    remark = f"may lose more than {checked.max_drop_pp:g} pp: failed the gate"
    assert found.text.count(remark) == 1
    assert found.text.index(remark) == found.text.index(exported_name(findings, "int8")) + 1


def test_a_file_that_cannot_be_timed_stands_in_the_table_alone(digits_run: Run, findings: Findings) -> None:
    files = [exported(digits_run, name) for name in ("onnx", "int8")]
    plan = BenchPlan(rounds=8, calls=5, memory=False)
    rows = bench(files, digits_run, findings.data.test_pixels[:4], batches=[1], threads=[1], plan=plan)
    timings = [row if row.format == PYTORCH else replace(row, path=Path(row.path).name) for row in rows]
    html = page.render(replace(findings, timings=timings, host=describe_bench_host()))
    plot = html[html.index('id="trade-off') :].split("</svg>")[0]
    assert exported_name(findings, "ort") in check(html).text
    assert ("onnx: " in plot, "int8: " in plot, "ort: " in plot) == (True, True, False)


def exported_name(findings: Findings, format_name: str) -> str:
    assert findings.verification is not None
    (name,) = (item.path for item in findings.verification.verdicts if item.format == format_name)
    return name


def test_many_classes_and_no_mistake(findings: Findings) -> None:
    """Sixty classes, all recognised: the matrix has no numbers, and says nothing is confused."""
    from lenet_edge.evaluation.evaluation import score

    names = tuple(f"class number {i}" for i in range(60))
    labels = np.arange(120) % 60
    evaluation = score(np.eye(60, dtype=np.float32)[labels] * 9, labels, names, "", "pytorch", "digits")
    data = replace(findings.data, labels=names, test_labels=labels, test_pixels=findings.data.test_pixels[:120])
    found = check(page.render(replace(findings, evaluation=evaluation, data=data)))
    assert "No mistakes." in found.text
    assert "No test image was misclassified." in found.text


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_text_stands_out_from_the_paper(theme: str) -> None:
    """Contrast of at least 4.5 to 1 (WCAG 2.1, 1.4.3) in every theme."""
    style = page.STYLE.read_text(encoding="utf-8")
    block = style.split(":root {")[{"light": 1, "dark": 2, "print": 3}[theme]].partition("}")[0]
    colours = dict(re.findall(r"--([a-z-]+): #([0-9a-f]{3,6})", block))

    def luminance(colour: str) -> float:
        digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(colours[one]), luminance(colours[other])))
        return (high + 0.05) / (low + 0.05)

    for name in ("ink", "muted", "accent", "wrong"):
        assert contrast(name, "paper") >= 4.5, name
    assert contrast("on-full", "wrong") >= 4.5


# --- its parts -----------------------------------------------------------------------------------------------------


def test_markup_escapes_what_is_no_markup() -> None:
    text = tag("p", "a < b & \x1b \ud800", tag("b", "c"), Markup("<i></i>"), None, class_='"x"', data_n=1.50)
    assert text == '<p class="&quot;x&quot;" data-n="1.5">a &lt; b &amp; \\x1b \\ud800<b>c</b><i></i></p>'


def decoded(image: Markup) -> np.ndarray:
    content = base64.b64decode(re.search(r'base64,([^"]+)"', image).group(1))  # type: ignore[union-attr]
    return np.asarray(Image.open(io.BytesIO(content)))


def test_picture_keeps_every_pixel(digits: ImageData) -> None:
    assert (decoded(picture(digits.test_pixels[0], "a digit")) == digits.test_pixels[0, 0]).all()
    colour = np.random.default_rng(0).integers(0, 256, (3, 5, 7), dtype=np.uint8)
    assert (decoded(picture(colour, "noise")) == colour.transpose(1, 2, 0)).all()


def test_signed_picture_shows_sign_by_hue_and_size_by_opacity() -> None:
    rgba = decoded(signed_picture(np.array([[2.0, -1.0, 0.0]], np.float32), "a kernel"))
    assert tuple(rgba[0, 0]) == (*POSITIVE, 255)
    assert tuple(rgba[0, 1]) == (*NEGATIVE, 128)
    assert rgba[0, 2, 3] == 0
    assert (decoded(signed_picture(np.zeros((2, 2), np.float32), "nothing"))[..., 3] == 0).all()


class LateFirst(nn.Module):
    """Declares its convolutions in another order than it runs them."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(6, 4, 3)
        self.first = nn.Conv2d(1, 6, 3, stride=2)
        self.dense = nn.LazyLinear(10)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.dense(self.second(self.first(images).relu()).flatten(1))
        return logits


def test_filters_of_the_convolution_that_runs_first(digits_run: Run, digits: ImageData) -> None:
    torch.manual_seed(0)
    net, record = LateFirst(), digits_run.read()
    mean, std = record.spec.mean[0], record.spec.std[0]
    padded = F.pad(torch.tensor(digits.test_pixels[:1]).float(), (2, 2, 2, 2))
    images = (padded / 255 - mean) / std
    net(images)  # gives the lazy layer its size
    found = first_filters(net, record, digits)
    assert found is not None
    assert (found.kernels == net.first.weight.detach()[:, 0].numpy()).all()
    expected = F.conv2d(images, net.first.weight, net.first.bias, stride=2).detach()[0].numpy()
    np.testing.assert_allclose(found.responses, expected, atol=1e-4)
    assert found.label == digits.labels[digits.test_labels[0]]


def test_no_filters_without_a_convolution(digits_run: Run, digits: ImageData, findings: Findings) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 10))
    assert first_filters(net, digits_run.read(), digits) is None
    found = check(page.render(replace(findings, filters=None)))
    assert "The network has no convolution." in found.text


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (Scale(0, 1, 0, 100), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (Scale(0.983, 0.999, 0, 100), [0.985, 0.99, 0.995]),
        (Scale(12, 300, 0, 100, log=True), [20, 50, 100, 200]),
    ],
)
def test_ticks_are_round(scale: Scale, ticks: list[float]) -> None:
    assert scale.ticks() == pytest.approx(ticks)
    assert all(0 <= scale(tick) <= 100 for tick in scale.ticks())


def test_scale_is_linear_or_logarithmic() -> None:
    assert Scale(0, 10, 100, 0)(2.5) == 75
    assert Scale(1, 100, 0, 10, log=True)(10) == pytest.approx(5)


def test_spread_keeps_order_and_distance() -> None:
    moved = spread([10, 11, 40, 10.5], 12)
    assert moved[0] + 12 <= moved[3] + 1e-6
    assert moved[3] + 12 <= moved[1] + 1e-6
    assert moved[2] == pytest.approx(40)


def test_labels_of_a_scatter_plot_cover_nothing() -> None:
    """Five files at nearly the same place: no label lies on another."""
    dots = [Dot(f"file{i}", "dot accent", 20 + i / 5, 0.99, 0.985, 0.995) for i in range(5)]
    svg = scatter("plot", "a plot", "five dots", dots, "x", str, lambda value: f"{value:.3f}")
    places = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" class="label middle halo">(file\d)', svg)
    assert [name for _, _, name in places] == [dot.name for dot in dots]
    boxes = [(float(x), float(y)) for x, y, _ in places]
    for i, (x, y) in enumerate(boxes):
        for other_x, other_y in boxes[:i]:
            assert abs(x - other_x) > 5 * 6 or abs(y - other_y) >= LABEL_HEIGHT
