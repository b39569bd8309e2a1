"""Line chart and scatter plot as inline SVG; colours come from the page's style, so that they follow its theme."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lenet_edge.report.markup import Content, Markup, tag
from lenet_edge.report.scales import Scale, spread

WIDTH, HEIGHT = 400.0, 260.0
TOP, BOTTOM = 14.0, 226.0  # of the plot inside the picture
LEFT = 48.0
LABEL_HEIGHT, CHARACTER = 13.0, 6.4  # of the labels' type, in pixels of the picture

Formatter = Callable[[float], str]


@dataclass(frozen=True)
class Line:
    """A named line of a chart; `kind` is its CSS class, `end` what its label says after the name."""

    name: str
    kind: str
    values: Sequence[float]
    end: str


@dataclass(frozen=True)
class Dot:
    """A named point of a scatter plot, with the interval of its y; `kind` is its CSS class."""

    name: str
    kind: str
    x: float
    y: float
    y_low: float
    y_high: float


def figure(identity: str, title: str, description: str, *children: Content, size: tuple[float, float]) -> Markup:
    """An SVG that a screen reader can name and describe."""
    return tag(
        "svg",
        tag("title", title, id=f"{identity}-title"),
        tag("desc", description, id=f"{identity}-desc"),
        *children,
        viewBox=f"0 0 {size[0]:g} {size[1]:g}",
        role="img",
        aria_labelledby=f"{identity}-title {identity}-desc",
    )


def line_chart(
    identity: str,
    title: str,
    description: str,
    lines: Sequence[Line],
    limits: tuple[float, float],
    formatted: Formatter,
) -> Markup:
    """Lines against epochs 1, 2, ...; each is labelled at its end. What lies beyond `limits` is cut off."""
    right = WIDTH - 118
    epochs = len(lines[0].values)
    x, y = Scale(1, max(epochs, 2), LEFT, right), Scale(*limits, BOTTOM, TOP)
    window = tag(
        "clipPath", tag("rect", x=LEFT - 4, y=TOP - 4, width=right - LEFT + 8, height=BOTTOM - TOP + 4), id=identity
    )
    places = spread([min(max(y(line.values[-1]), TOP), BOTTOM) for line in lines], 2 * LABEL_HEIGHT + 3)
    return figure(
        identity,
        title,
        description,
        tag("defs", window),
        *grid(y, LEFT, right, formatted),
        *(axis_text(x(t), BOTTOM + 17, f"{t:.0f}", "tick middle") for t in _whole(x.ticks())),
        axis_text((LEFT + right) / 2, BOTTOM + 32, "epoch", "tick middle"),
        *(_polyline(line, x, y, identity) for line in lines),
        *(_line_label(line, right, y, place) for line, place in zip(lines, places, strict=True)),
        size=(WIDTH, HEIGHT),
    )


def scatter(
    identity: str,
    title: str,
    description: str,
    dots: Sequence[Dot],
    axis: str,
    x_formatted: Formatter,
    y_formatted: Formatter,
) -> Markup:
    """Named points with vertical intervals over a logarithmic x axis."""
    xs = [dot.x for dot in dots]
    lows, highs = [dot.y_low for dot in dots], [dot.y_high for dot in dots]
    room = max((max(highs) - min(lows)) * 0.15, 1e-6)
    x = Scale(min(xs) / 1.6, max(xs) * 1.6, LEFT + 8, WIDTH - 12, log=True)
    y = Scale(min(lows) - room, max(highs) + room, BOTTOM, TOP)
    children: list[Content] = [
        *grid(y, LEFT + 8, WIDTH - 12, y_formatted),
        *(axis_text(x(t), BOTTOM + 17, x_formatted(t), "tick middle") for t in x.ticks()),
        axis_text((LEFT + WIDTH) / 2, BOTTOM + 32, axis, "tick middle"),
    ]
    children += [
        tag("line", x1=x(dot.x), x2=x(dot.x), y1=y(dot.y_low), y2=y(dot.y_high), class_="whisker") for dot in dots
    ]
    for dot, (label_x, label_y) in zip(dots, _label_places(dots, x, y), strict=True):
        children.append(tag("line", x1=x(dot.x), y1=y(dot.y), x2=label_x, y2=label_y - 4, class_="leader"))
        children.append(tag("circle", cx=x(dot.x), cy=y(dot.y), r=4.5, class_=dot.kind))
        children.append(axis_text(label_x, label_y, dot.name, "label middle halo"))
    return figure(identity, title, description, *children, size=(WIDTH, HEIGHT))


def grid(y: Scale, left: float, right: float, formatted: Formatter) -> list[Markup]:
    """Horizontal lines with what they stand for."""
    lines = [tag("line", x1=left, x2=right, y1=y(t), y2=y(t), class_="grid") for t in y.ticks()]
    return lines + [axis_text(left - 6, y(t) + 4, formatted(t), "tick end") for t in y.ticks()]


def _polyline(line: Line, x: Scale, y: Scale, window: str) -> Markup:
    if len(line.values) == 1:
        return tag("circle", cx=x(1), cy=y(line.values[0]), r=4.0, class_=f"dot {line.kind}")
    points = " ".join(f"{x(i):.1f},{y(value):.1f}" for i, value in enumerate(line.values, start=1))
    return tag("polyline", points=points, class_=f"line {line.kind}", clip_path=f"url(#{window})")


def _line_label(line: Line, right: float, y: Scale, place: float) -> Markup:
    end = min(max(y(line.values[-1]), TOP), BOTTOM)
    return tag(
        "g",
        tag("line", x1=right + 2, y1=end, x2=right + 10, y2=place, class_="leader"),
        axis_text(right + 13, place - 1, line.name, f"label {line.kind}"),
        axis_text(right + 13, place + LABEL_HEIGHT, line.end, f"label strong {line.kind}"),
    )


def _label_places(dots: Sequence[Dot], x: Scale, y: Scale) -> list[tuple[float, float]]:
    """A place for each label (its middle and base line) that covers no other label, dot or interval."""
    taken = [(x(dot.x) - 6, y(dot.y_high), x(dot.x) + 6, y(dot.y_low)) for dot in dots]
    places = []
    for dot in dots:
        half = len(dot.name) * CHARACTER / 2
        middle = min(max(x(dot.x), LEFT + 12 + half), WIDTH - 8 - half)
        found = (middle, y(dot.y) - 10)
        for distance in range(0, 200, 4):
            candidates = [
                (min(max(middle + side * (half + 10), LEFT + 12 + half), WIDTH - 8 - half), y(dot.y) + 4 + shift)
                for shift in (-distance, distance)
                for side in ((1, -1, 0) if distance > LABEL_HEIGHT else (1, -1))
            ]
            free = [place for place in candidates if _is_free(place, half, taken)]
            if free:
                found = free[0]
                break
        places.append(found)
        taken.append((found[0] - half, found[1] - LABEL_HEIGHT, found[0] + half, found[1] + 3))
    return places


def _is_free(place: tuple[float, float], half: float, taken: Sequence[tuple[float, float, float, float]]) -> bool:
    left, top, right, bottom = place[0] - half, place[1] - LABEL_HEIGHT, place[0] + half, place[1] + 3
    inside = top >= 0 and bottom <= BOTTOM
    return inside and all(right < a or left > c or bottom < b or top > d for a, b, c, d in taken)


def axis_text(x: float, y: float, text: str, class_: str) -> Markup:
    """A word in the picture."""
    return tag("text", text, x=x, y=y, class_=class_)


def _whole(values: Sequence[float]) -> list[float]:
    return [value for value in values if value == int(value)]
