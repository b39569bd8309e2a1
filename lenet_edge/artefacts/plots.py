"""The picture of a choice of int8 layers."""

from pathlib import Path

from lenet_edge.artefacts.layer_selection import Selection
from lenet_edge.training.plots import save


def draw_selection(selection: Selection, title: str, path: Path) -> None:
    """Draw bytes against latency of every choice of int8 layers, named where it is on the front, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 6), layout="constrained")
    items = selection.candidates
    accuracies = [100 * item.accuracy for item in items]
    dots = axes.scatter(
        [item.p50_us for item in items],
        [item.bytes / 1000 for item in items],
        c=accuracies,
        # A colour apart should be more than a single image.
        vmin=min(*accuracies, max(accuracies) - 0.5),
        cmap="viridis",
        zorder=3,
    )
    figure.colorbar(dots, label=f"Accuracy on {selection.images} validation images, %")
    for index, item in enumerate(selection.front):
        offset = (6, -11) if index % 2 else (6, 6)  # neighbours on the front often lie side by side
        axes.annotate(item.name, (item.p50_us, item.bytes / 1000), offset, textcoords="offset points", fontsize=7)
    chosen = selection.chosen
    axes.scatter([chosen.p50_us], [chosen.bytes / 1000], s=160, facecolors="none", edgecolors="#c0392b", zorder=4)
    axes.set_xlabel("Latency of one image (median), us")
    axes.set_ylabel("Size, kB")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    figure.suptitle(f"{title}: layers in int8; the circle marks the choice ({chosen.name})")
    save(figure, path)
