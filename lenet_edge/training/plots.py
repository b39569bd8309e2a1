"""Pictures of a training, and how every picture is saved."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lenet_edge.runs.history import Epoch
from lenet_edge_exporters import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_curves(history: Sequence[Epoch], title: str, path: Path) -> None:
    """Draw loss and accuracy against epochs, training and validation, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    epochs = [row.epoch for row in history]
    figure, (loss, accuracy) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    marker = "o" if len(history) == 1 else None
    for axes, train, val, name in (
        (loss, [row.train_loss for row in history], [row.val_loss for row in history], "Cross-entropy"),
        (
            accuracy,
            [row.train_accuracy for row in history],
            [row.val_accuracy for row in history],
            "Accuracy",
        ),
    ):
        axes.plot(epochs, train, label="training (as optimised)", color="#8a8a8a", marker=marker)
        axes.plot(epochs, val, label="validation", color="#0b62a4", linewidth=2, marker=marker)
        axes.set_xlabel("Epoch")
        axes.set_ylabel(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0))
    # The first epochs would flatten everything that happens later.
    low = min(accuracy_row for row in history[len(history) // 5 :] for accuracy_row in _accuracies(row))
    accuracy.set_ylim(bottom=min(0.99, max(0.0, low - (1 - low) * 0.3)), top=1.0)
    accuracy.legend(loc="lower right")
    figure.suptitle(title)
    save(figure, path)


def save(figure: "Figure", path: Path) -> None:
    """Write the figure as a PNG, whole or not at all, and close it."""
    from matplotlib import pyplot

    with atomic.staged(path) as temporary:
        # Without the software's version the same figures give the same bytes.
        figure.savefig(temporary, dpi=120, metadata={"Software": None})
    pyplot.close(figure)


def _accuracies(row: Epoch) -> tuple[float, float]:
    return row.train_accuracy, row.val_accuracy
