"""The reliability diagram: of the answers given with some probability, how many were right."""

from lenet_edge.evaluation.calibration import Bin
from lenet_edge.evaluation.statistics import wilson_interval
from lenet_edge.report.blocks import SPACE, captioned, percent, table
from lenet_edge.report.charts import BOTTOM, LEFT, TOP, axis_text, figure, grid
from lenet_edge.report.findings import Findings
from lenet_edge.report.markup import Content, Markup, join, tag
from lenet_edge.report.scales import Scale

SIDE = BOTTOM - TOP  # of the square plot


def probabilities(found: Findings) -> Markup:
    """The diagram, its figures as a table, and what the errors are."""
    calibration = found.evaluation.calibration
    low, high = (f"{100 * end:.2f}" for end in calibration.ece_ci95)
    rows: list[list[Content]] = [
        [
            f"{percent(row.low)} to {percent(row.high)}",
            f"{row.images:,}",
            percent(row.confidence),
            percent(row.accuracy),
        ]
        for row in calibration.bins
    ]
    said = (
        f"Expected calibration error {100 * calibration.ece:.2f} points (95{SPACE}% interval {low} to {high}): so "
        f"far the probability of an answer is from how often it is right. Brier score {calibration.brier:.4f}, "
        f"mean probability {percent(calibration.confidence)}. Below the diagonal the network is too sure of itself."
    )
    return join(
        captioned(_diagram(calibration.bins), said),
        table("answers by their probability", ["probability", "images", "mean of it", "right"], rows),
    )


def _diagram(bins: list[Bin]) -> Markup:
    x, y = Scale(0, 1, LEFT, LEFT + SIDE), Scale(0, 1, BOTTOM, TOP)
    children: list[Content] = [
        *grid(y, LEFT, LEFT + SIDE, percent_tick),
        *(axis_text(x(t), BOTTOM + 17, percent_tick(t), "tick middle") for t in x.ticks()),
        axis_text(LEFT + SIDE / 2, BOTTOM + 32, "probability of the answer, %", "tick middle"),
        tag("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="leader"),
    ]
    for row in bins:
        ends = wilson_interval(round(row.accuracy * row.images), row.images)
        middle = x(row.confidence)
        children.append(tag("line", x1=middle, x2=middle, y1=y(ends[0]), y2=y(ends[1]), class_="whisker"))
        children.append(tag("circle", cx=middle, cy=y(row.accuracy), r=4.5, class_="dot accent"))
    described = "; ".join(f"{percent(row.confidence)}: {percent(row.accuracy)} right" for row in bins)
    return figure("reliability", "Right, %", described, *children, size=(LEFT + SIDE + 12, BOTTOM + 38))


def percent_tick(share: float) -> str:
    """0.5 as "50"."""
    return f"{100 * share:g}"
