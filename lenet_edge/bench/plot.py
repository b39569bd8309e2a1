"""Latencies as a picture: a dot for the median, a bar for its interval, and a faint dot for every session."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenet_edge.bench.measuring import BenchRow
from lenet_edge.bench.tables import display_name
from lenet_edge.training.plots import save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOG_FROM = 8  # slowest by fastest: from here on a linear axis would crowd the fast ones together
NAMES = ("median, 95 % interval", "median of each session", "p99")
COLOURS = {"onnxruntime": "#0b62a4", "pytorch": "#8a8a8a", "torchscript": "#8a8a8a"}


def draw_bench(rows: Sequence[BenchRow], host: dict[str, Any], path: Path) -> None:
    """Draw one panel for each batch size and thread count as a PNG, models from fastest to slowest."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    cases = list(dict.fromkeys((row.batch, row.threads) for row in rows))
    heights = [1.1 + 0.36 * sum((row.batch, row.threads) == case for row in rows) for case in cases]
    figure, panels = pyplot.subplots(
        len(cases), 1, figsize=(9, 0.7 + sum(heights)), height_ratios=heights, layout="constrained", squeeze=False
    )
    for axes, case in zip(panels[:, 0], cases, strict=True):
        chosen = sorted((row for row in rows if (row.batch, row.threads) == case), key=lambda row: row.p50_us)
        _panel(axes, chosen)
        images, threads = ("1 image" if case[0] == 1 else f"{case[0]} images"), case[1]
        axes.set_title(f"{images} a call, {threads} thread{'s' if threads > 1 else ''}", loc="left", fontsize=10)
    panels[-1, 0].set_xlabel("Latency of a call, us")
    panels[0, 0].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
    figure.suptitle(f"{host['cpu']}: {rows[0].rounds} rounds of {rows[0].calls // rows[0].rounds} calls", fontsize=10)
    save(figure, path)


def _panel(axes: "Axes", rows: Sequence[BenchRow]) -> None:
    for y, row in enumerate(rows):
        colour = COLOURS.get(row.backend, "#0b62a4")
        low, high = row.p50_ci95_us
        names = NAMES if y == 0 else (None,) * len(NAMES)  # once in the legend
        axes.errorbar(
            row.p50_us, y, xerr=[[max(0, row.p50_us - low)], [max(0, high - row.p50_us)]], fmt="o", color=colour,
            markersize=4, capsize=4, label=names[0],
        )  # fmt: skip
        axes.plot(
            row.round_medians_us, [y + 0.27] * row.rounds, "o", color=colour, alpha=0.35, markersize=4,
            markeredgewidth=0, label=names[1],
        )  # fmt: skip
        if row.p99_us is not None:
            axes.plot([row.p99_us], [y], "|", color=colour, markersize=10, label=names[2])
        axes.annotate(f"{row.p50_us:.1f}", (row.p50_us, y), (0, 6), textcoords="offset points", ha="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [display_name(row) for row in rows], fontsize=9)
    axes.set_ylim(len(rows) - 0.4, -0.6)  # the fastest on top
    if max(row.p99_us or row.p50_us for row in rows) / rows[0].p50_us > LOG_FROM:
        axes.set_xscale("log")
        _plain_ticks(axes)
    else:
        axes.set_xlim(left=0)
    axes.grid(axis="x", alpha=0.3)


def _plain_ticks(axes: "Axes") -> None:
    """20, 50, 100 on a logarithmic axis, not powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
