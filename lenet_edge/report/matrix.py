"""A confusion matrix as a picture: a square for each pair of classes, darker where it happened more often."""

import math
from collections.abc import Sequence

from lenet_edge.report.charts import figure
from lenet_edge.report.markup import Content, Markup, tag

SIDE = 400.0  # of the squares together
NUMBERED = 16  # classes beyond which the numbers would be too small to read
LABEL = 13  # characters of a class's name
TYPE_SIZE = 12  # of the style sheet


def draw_matrix(labels: Sequence[str], matrix: Sequence[Sequence[int]], description: str) -> Markup:
    """The matrix with a row for each class as it is and a column for each as it was called."""
    longest = min(LABEL, max(map(len, labels)))
    margin = max(58.0, 14 + 7.0 * longest)  # room for "called" too
    upright = longest <= 2
    cell = SIDE / len(labels)
    top = 36.0 if upright else margin * 0.75 + 12
    children: list[Content] = [tag("text", "called \u2192", x=margin - 6, y=top - 24, class_="tick end")]
    children.append(tag("text", "is \u2193", x=margin - 6, y=top - 6, class_="tick end"))
    for i, label in enumerate(labels):
        middle = i * cell + cell / 2
        row, column = _fitted(cell), _fitted(cell if upright else 0.62 * cell)  # turned lines lie closer
        children.append(tag("text", _short(label), x=margin - 6, y=top + middle + 4, class_="label end", style=row))
        turned = None if upright else f"rotate(-45 {margin + middle:.1f} {top - 6:.1f})"
        kind = "label middle" if upright else "label"
        at = {"x": margin + middle, "y": top - 6}
        children.append(tag("text", _short(label), **at, transform=turned, class_=kind, style=column))
    for i, counts in enumerate(matrix):
        for j, count in enumerate(counts):
            children.append(_cell(labels, i, j, count, sum(counts), (margin + j * cell, top + i * cell, cell)))
    room = 0 if upright else 30  # the last turned label leans out
    return figure("confusion", "Confusion matrix", description, *children, size=(margin + SIDE + room, top + SIDE + 4))


def _cell(
    labels: Sequence[str], i: int, j: int, count: int, total: int, place: tuple[float, float, float]
) -> Markup | None:
    x, y, cell = place
    square = {"x": x + 1, "y": y + 1, "width": cell - 2, "height": cell - 2, "rx": min(3.0, cell / 6)}
    if not count:
        return tag("rect", **square, class_="none") if len(labels) <= NUMBERED else None
    share = count / total
    said = tag("title", f"{labels[i]}, called {labels[j]}: {count:,} of {total:,} ({100 * share:.2f} %)")
    # The square root lets a single mistake among a thousand be seen.
    strength = 0.10 + 0.22 * share if i == j else min(1.0, 0.16 + 1.7 * math.sqrt(share))
    kind = "right" if i == j else "wrong"
    number = tag("text", str(count), x=x + cell / 2, y=y + cell / 2 + 4, class_=_number_class(kind, strength))
    return tag(
        "g",
        said,
        tag("rect", **square, class_=kind, fill_opacity=strength),
        number if len(labels) <= NUMBERED else None,
    )


def _number_class(kind: str, strength: float) -> str:
    """The number's colour has to stand out from its square's, on light paper and on dark."""
    depth = " full" if strength > 0.92 else " deep" if strength > 0.58 else ""
    return f"number middle {kind}{depth}"


def _fitted(room: float) -> str | None:
    """A smaller type where there are so many classes that their names would overlap."""
    return None if room >= TYPE_SIZE else f"font-size:{room:.1f}px"


def _short(label: str) -> str:
    return label if len(label) <= LABEL else label[: LABEL - 1] + "…"
