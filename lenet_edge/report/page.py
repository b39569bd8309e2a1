"""The report as one HTML file that needs no network and no script."""

from pathlib import Path

from lenet_edge.report import files, reliability, robustness, sections
from lenet_edge.report.findings import Findings
from lenet_edge.report.markup import Markup, join, tag
from lenet_edge_exporters import atomic

STYLE = Path(__file__).parent / "style.css"
PARTS = {
    "Mistakes": sections.mistakes,
    "Confusion matrix": sections.confusions,
    "Classes": sections.classes,
    "Probabilities": reliability.probabilities,
    "Corruptions": robustness.corruptions,
    "Learning curves": sections.curves,
    "First-layer filters": sections.filters,
    "Exported files": files.files,
    "Recipe and data": files.provenance,
}


def write(found: Findings, path: Path) -> None:
    """Write the report, whole or not at all."""
    atomic.write_text(path, render(found))


def render(found: Findings) -> str:
    """The HTML document; the same for the same run but for what was timed."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{sections.title_of(found)}: report"),
        tag("style", Markup(STYLE.read_text(encoding="utf-8"))),
    )
    links = (tag("a", name, href=f"#{_anchor(name)}") for name in PARTS)
    body = tag(
        "body",
        sections.summary(found),
        tag("nav", *links, aria_label="Parts of this report"),
        tag("main", *(_section(name, part(found)) for name, part in PARTS.items())),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _section(name: str, content: Markup) -> Markup:
    return join(tag("section", tag("h2", name), content, id=_anchor(name)), Markup("\n"))


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")
