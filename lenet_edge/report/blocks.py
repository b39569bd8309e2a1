"""The blocks that the parts of a report are built of: figures with captions, tables that scroll, lists of values."""

from collections.abc import Mapping, Sequence
from typing import Any

from lenet_edge import console
from lenet_edge.report.markup import Content, Markup, tag

SPACE, MINUS = "\u00a0", "\u2212"


def captioned(content: Content, caption: str) -> Markup:
    """A figure with its caption below it."""
    return tag("figure", content, tag("figcaption", caption))


def titled(title: str, content: Content, remark: str | None = None) -> Markup:
    """A figure under its title, with a remark below it."""
    return tag("figure", tag("figcaption", title, class_="title"), content, remark and tag("p", remark, class_="note"))


def definitions(items: Mapping[str, Any], class_: str = "definitions") -> Markup:
    """Names and values, side by side."""
    pairs = (tag("div", tag("dt", key), tag("dd", _plain(value))) for key, value in items.items())
    return tag("dl", *pairs, class_=class_)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[Content]]) -> Markup:
    """A table in a box of its own that scrolls, by keyboard too, where the screen is too narrow for it."""
    body = (tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows)
    table = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *(tag("th", head, scope="col") for head in heads))),
        tag("tbody", *body),
    )
    return tag("div", table, class_="scroll", role="region", tabindex=0, aria_label=f"Table: {heads[0]}, {heads[1]}")


def percent(fraction: float, digits: int = 2) -> str:
    """0.9951 as `99.51 %`, never broken over lines."""
    return console.percent(fraction, digits).replace(" ", SPACE)


def size_of(size: int) -> str:
    """Bytes in kB, never broken over lines."""
    return console.kilobytes(size).replace(" ", SPACE)
