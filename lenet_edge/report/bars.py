"""Horizontal bars from zero, as a list that a screen reader reads line by line."""

from collections.abc import Sequence
from dataclasses import dataclass

from lenet_edge.report.markup import Content, Markup, tag


@dataclass(frozen=True)
class Bar:
    """A bar of `value` with its interval, if there is one; `said` stands at its end, `head` (a picture) before it."""

    name: str
    value: float
    said: str
    interval: tuple[float, float] | None = None
    head: Content = None


def draw_bars(bars: Sequence[Bar], kind: str) -> Markup:
    """The bars, the longest (or the widest interval) filling the width."""
    full = max([bar.interval[1] if bar.interval else bar.value for bar in bars]) or 1.0
    return tag("ul", *(_row(bar, full) for bar in bars), class_=f"bars {kind}", role="list")


def _row(bar: Bar, full: float) -> Markup:
    whisker = None
    if bar.interval:
        low, high = (100 * end / full for end in bar.interval)
        whisker = tag("span", class_="whisker", style=f"left:{low:.2f}%;width:{high - low:.2f}%")
    filled = tag("span", class_="fill", style=f"width:{100 * bar.value / full:.2f}%")
    return tag(
        "li",
        tag("span", bar.head, tag("span", bar.name), class_="name"),
        tag("span", filled, whisker, class_="track"),
        tag("span", bar.said, class_="said"),
    )
