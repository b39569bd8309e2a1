"""Pictures of a study: accuracies with their spread, and learning curves laid over each other.

Colours are those of Okabe & Ito (2008), which the colour-blind can tell apart; line styles differ too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lenet_edge.runs.history import Epoch
from lenet_edge.studies.results import Results
from lenet_edge.studies.significance import Sample
from lenet_edge.training.plots import save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
STYLES = ("-", "--", "-.", ":")
TRAIN_COLOUR, TEST_COLOUR = "#b8b8b8", "#0072b2"


def draw_accuracies(results: Results, title: str, path: Path) -> None:
    """Draw train and test accuracy of each recipe as bars with standard deviations and a dot a seed, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import PercentFormatter

    recipes = results.recipes
    figure, axes = pyplot.subplots(figsize=(9, 1.6 + 0.95 * len(recipes)), layout="constrained")
    metrics = (("train_accuracy", "training images", TRAIN_COLOUR), ("test_accuracy", "test images", TEST_COLOUR))
    everything = [value for metric, _, _ in metrics for of in results.values(metric).values() for value in of.values()]
    low = _axis_start(everything)
    for row, (metric, label, colour) in enumerate(metrics):
        samples, values = results.samples(metric), results.values(metric)
        places = np.arange(len(recipes)) + (row - 0.5) * 0.38
        means = [samples[recipe].mean for recipe in recipes]
        deviations = [samples[recipe].sd or 0.0 for recipe in recipes]
        axes.barh(places, [mean - low for mean in means], 0.36, left=low, color=colour, label=label, zorder=2)
        axes.errorbar(
            means, places - 0.06, xerr=deviations, fmt="none", ecolor="black", elinewidth=1.4, capsize=4, zorder=4
        )
        for place, recipe in zip(places, recipes, strict=True):
            seeds = list(values[recipe].values())
            axes.plot(
                seeds, [place] * len(seeds), "o", color="white", markeredgecolor="black", markersize=3.5, zorder=3
            )
            right = max(*seeds, samples[recipe].mean + (samples[recipe].sd or 0.0))
            axes.annotate(_figure(samples[recipe]), (right, place), (7, 0), textcoords="offset points", va="center")
    axes.set_yticks(np.arange(len(recipes)), recipes)
    axes.invert_yaxis()
    # Room for the figures at the right.
    axes.set_xlim(low, max(everything) + (max(everything) - low) * 0.3)
    axes.set_xticks([tick for tick in axes.get_xticks() if low <= tick <= 1.0])
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set_xlabel(f"Accuracy; the axis starts at {100 * low:g} %" if low else "Accuracy")
    axes.grid(axis="x", alpha=0.3, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines["bottom"].set_bounds(low, 1.0)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(title)
    save(figure, path)


def draw_study_curves(histories: dict[str, list[list[Epoch]]], title: str, path: Path) -> None:
    """Draw the accuracy against epochs of each recipe, given as its runs' histories, as a PNG.

    Lines are means over seeds, bands one standard deviation to either side.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.8), layout="constrained", sharey=False)
    for axes, column, name in zip(
        panels,
        ("train_accuracy", "val_accuracy"),
        ("Training images, as optimised\n(augmentation, dropout and all)", "Validation images"),
        strict=True,
    ):
        for index, (recipe, runs) in enumerate(histories.items()):
            _draw_band(axes, np.array([[getattr(row, column) for row in run] for run in runs]), recipe, index)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        axes.set_ylim(*_curve_limits(histories, column))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("Accuracy")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    figure.suptitle(title)
    save(figure, path)


def _draw_band(axes: "Axes", values: np.ndarray, label: str, index: int) -> None:
    """`values`: [seeds, epochs]."""
    colour, style = COLOURS[index % len(COLOURS)], STYLES[index % len(STYLES)]
    epochs, mean = np.arange(1, values.shape[1] + 1), values.mean(axis=0)
    marker = "o" if len(epochs) == 1 else None
    axes.plot(epochs, mean, style, color=colour, label=label, linewidth=1.8, marker=marker)
    if len(values) > 1:
        deviation = values.std(axis=0, ddof=1)
        axes.fill_between(epochs, mean - deviation, mean + deviation, color=colour, alpha=0.18, linewidth=0)


def _curve_limits(histories: dict[str, list[list[Epoch]]], column: str) -> tuple[float, float]:
    """From a little below what is reached after a fifth of the epochs: the first ones would flatten all the others."""
    kept = [getattr(row, column) for runs in histories.values() for run in runs for row in run[len(run) // 5 :]]
    low, high = min(kept), max(kept)
    room = max(0.05 * (high - low), 0.001)
    return max(0.0, low - room), min(1.0, high + room)


def _axis_start(values: Sequence[float]) -> float:
    """A round number below all values, so that their differences can be seen: 0.9 for 0.93, 0.98 for 0.985."""
    room = 1.6 * (1 - min(values))
    for start in (0.995, 0.99, 0.98, 0.97, 0.96, 0.95, 0.94, 0.92, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5):
        if 1 - start >= room:
            return start
    return 0.0


def _figure(sample: Sample) -> str:
    spread = "" if sample.sd is None else f" ± {100 * sample.sd:.2f}"
    return f"{100 * sample.mean:.2f}{spread} %"
