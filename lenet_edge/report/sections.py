"""The parts of a report that are about the network, each made of the findings."""

from collections.abc import Sequence
from typing import Any

from lenet_edge.data.datasets import DATASETS
from lenet_edge.evaluation.evaluation import Mistake, most_frequent_confusions
from lenet_edge.evaluation.statistics import wilson_interval
from lenet_edge.report.bars import Bar, draw_bars
from lenet_edge.report.blocks import SPACE, captioned, percent, table, titled
from lenet_edge.report.charts import Line, line_chart
from lenet_edge.report.files import best_files
from lenet_edge.report.findings import Filters, Findings
from lenet_edge.report.markup import Content, Markup, join, tag
from lenet_edge.report.matrix import draw_matrix
from lenet_edge.report.pictures import picture, signed_picture
from lenet_edge.runs.history import Epoch

CONFUSIONS = 8  # named beside the matrix
LABEL = 4  # characters of a label that has its probability beside it, not below


def title_of(found: Findings) -> str:
    """The recipe on the data set, as a heading says it."""
    dataset = found.record.dataset
    return f"{found.record.recipe.name} on {DATASETS[dataset].title if dataset in DATASETS else 'your own images'}"


def summary(found: Findings) -> Markup:
    """The one figure that matters, and those that people ask for next."""
    scores = found.evaluation
    low, high = scores.accuracy_ci95
    wrong = scores.images - round(scores.accuracy * scores.images)
    facts = {
        "mistakes": f"{wrong:,}",
        "macro F1": f"{scores.macro.f1:.4f}",
        "AUC-ROC": "undefined" if scores.auc_roc is None else f"{scores.auc_roc:.4f}",
        "log loss": f"{scores.log_loss:.4f}",
        "calibration error": f"{100 * scores.calibration.ece:.2f} points",
        "parameters": f"{found.record.metrics.get('parameters', 0):,}",
        **best_files(found),
    }
    return tag(
        "header",
        tag("p", " \u00b7 ".join(_kicker(found)), class_="kicker"),
        tag("h1", title_of(found)),
        tag(
            "p",
            tag("span", percent(scores.accuracy), class_="figure"),
            tag(
                "span",
                f"of {scores.images:,} test images recognised by {found.record.reference}; 95{SPACE}% interval "
                f"{percent(low)} to {percent(high)}",
                class_="beside",
            ),
            class_="headline",
        ),
        tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts.items()), class_="facts"),
    )


def _kicker(found: Findings) -> list[str]:
    record, parts = found.record, ["lenet-edge report"]
    if found.history:
        epochs = len(found.history)
        seconds = f"{sum(row.seconds for row in found.history):,.0f} s"
        parts += [f"seed {record.seed}", f"{epochs} epoch{'' if epochs == 1 else 's'} in {seconds} on {record.device}"]
    return parts


def curves(found: Findings) -> Markup:
    """Loss and accuracy against epochs."""
    if not found.history:
        return tag("p", "The weights were imported: there is no training to show.")
    rows, tested = found.history, found.evaluation
    loss = [
        Line("training", "quiet", [row.train_loss for row in rows], f"{rows[-1].train_loss:.4f}"),
        Line("validation", "accent", [row.val_loss for row in rows], f"{rows[-1].val_loss:.4f}"),
    ]
    accuracy = [
        Line("training", "quiet", [row.train_accuracy for row in rows], percent(rows[-1].train_accuracy)),
        Line("validation", "accent", [row.val_accuracy for row in rows], percent(rows[-1].val_accuracy)),
    ]
    return join(
        tag(
            "div",
            titled(
                "Cross-entropy", _chart("loss", "Cross-entropy", loss, _loss_limits(rows), lambda value: f"{value:g}")
            ),
            titled(
                "Accuracy, %",
                _chart("accuracy", "Accuracy", accuracy, _accuracy_limits(rows), lambda value: f"{100 * value:g}"),
            ),
            class_="pair",
        ),
        tag(
            "p",
            f"Training as it was optimised, in training mode and with the recipe's augmentation and smoothing: that is "
            f"why it may look worse than validation. On the test set: {percent(tested.accuracy)}.",
            class_="note",
        ),
    )


def classes(found: Findings) -> Markup:
    """How often each class was missed, as bars from zero, and its figures as a table."""
    scores = found.evaluation
    bars = [
        Bar(
            name=row.label,
            value=1 - row.accuracy,
            said=f"{percent(1 - row.accuracy)} missed",
            interval=wilson_interval(row.support - round(row.accuracy * row.support), row.support),
            head=picture(_first_image(found, i), f"A test image of {row.label}", "pixels thumb"),
        )
        for i, row in enumerate(scores.per_class)
        if row.support
    ]
    rows: list[list[Content]] = [
        [
            row.label,
            percent(row.accuracy),
            f"{row.precision:.4f}",
            f"{row.recall:.4f}",
            f"{row.f1:.4f}",
            f"{row.support:,}",
        ]
        for row in scores.per_class
    ]
    for name, average in (("macro average", scores.macro), ("weighted average", scores.weighted)):
        figures = [f"{value:.4f}" for value in (average.precision, average.recall, average.f1)]
        rows.append([name, "", *figures, f"{scores.images:,}"])
    return join(
        titled(f"Share of each class that was missed, with its 95{SPACE}% interval (Wilson)", draw_bars(bars, "wrong")),
        table(
            "Accuracy of a class: the share of its own images that were recognised, which is its recall.",
            ["class", "accuracy", "precision", "recall", "F1", "images"],
            rows,
        ),
    )


def confusions(found: Findings) -> Markup:
    """The confusion matrix, and its largest entries in words."""
    scores = found.evaluation
    frequent = most_frequent_confusions(scores)[:CONFUSIONS]
    described = "; ".join(f"{true} called {called}: {times}" for true, called, times in frequent)
    labels = [row.label for row in scores.per_class]
    supports = {row.label: row.support for row in scores.per_class}
    named = [
        tag(
            "li",
            tag("span", true, tag("span", " \u2192 ", aria_hidden="true"), called, class_="pairname"),
            tag("span", f"{times:,} of {supports[true]:,}", class_="said"),
        )
        for true, called, times in frequent
    ]
    return tag(
        "div",
        captioned(
            draw_matrix(labels, scores.confusion_matrix, f"Most frequent confusions: {described or 'none'}"),
            "A row for each true class, a column for each answer. Mistakes are orange, stronger where "
            "they are a larger share of their row.",
        ),
        tag("div", tag("h3", "Most frequent"), tag("ol", *named) if named else tag("p", "No mistakes."), class_="list"),
        class_="pair matrix",
    )


def mistakes(found: Findings) -> Markup:
    """The misclassified images, the most confident first."""
    shown, scores = found.evaluation.mistakes, found.evaluation
    wrong = scores.images - round(scores.accuracy * scores.images)
    if not shown:
        return tag("p", "No test image was misclassified.")
    which = "All" if len(shown) == wrong else f"The {len(shown)} most confident of"
    return join(
        tag(
            "p",
            f"{which} {wrong:,} misclassified test images, the most confident first: what each was called, and with "
            f"which probability; below, what it is, and the probability that this got.",
            class_="note",
        ),
        tag("ul", *(_mistake(found, item) for item in shown), class_=f"sheet {_label_class(found)}", role="list"),
    )


def filters(found: Findings) -> Markup:
    """The kernels of the first convolution, each with its response to one image."""
    first = found.filters
    if first is None:
        return tag("p", "The network has no convolution.")
    return join(
        tag(
            "p",
            f"The {len(first.kernels)} kernels of the first convolution{_of_inputs(first)}, and what each makes of the "
            f"test image that comes first ({first.label}), before its activation. Blue is above zero, orange below; "
            f"each picture is scaled to its own largest value.",
            class_="note",
        ),
        tag(
            "div",
            tag("figure", picture(first.image, f"The test image: {first.label}"), tag("figcaption", "input")),
            *(
                tag(
                    "figure",
                    signed_picture(kernel, f"Kernel {i}, {kernel.shape[0]} by {kernel.shape[1]}", "pixels kernel"),
                    signed_picture(response, f"Response of kernel {i}"),
                    tag("figcaption", str(i)),
                )
                for i, (kernel, response) in enumerate(zip(first.kernels, first.responses, strict=True), start=1)
            ),
            class_="filters",
        ),
    )


def _chart(identity: str, name: str, lines: list[Line], limits: tuple[float, float], formatted: Any) -> Markup:
    description = "; ".join(f"{line.name}: {line.end} after {len(line.values)} epochs" for line in lines)
    return line_chart(identity, f"{name} by epoch", description, lines, limits, formatted)


def _loss_limits(rows: Sequence[Epoch]) -> tuple[float, float]:
    # The first epochs would flatten everything that happens later.
    settled = rows[len(rows) // 10 :]
    return 0.0, 1.05 * max(max(row.train_loss, row.val_loss) for row in settled)


def _accuracy_limits(rows: Sequence[Epoch]) -> tuple[float, float]:
    settled = rows[len(rows) // 10 :]
    low = min(min(row.train_accuracy, row.val_accuracy) for row in settled)
    high = max(max(row.train_accuracy, row.val_accuracy) for row in rows)
    room = max(0.15 * (high - low), 0.0005)
    return max(0.0, low - room), min(1.0, high + room)


def _first_image(found: Findings, label: int) -> Any:
    return found.data.test_pixels[int((found.data.test_labels == label).argmax())]


def _mistake(found: Findings, item: Mistake) -> Markup:
    alt = f"Test image {item.index}: {item.true}, called {item.predicted} with {percent(item.probability, 1)}"
    return tag(
        "li",
        picture(found.data.test_pixels[item.index], alt),
        tag("span", tag("b", item.predicted), " ", tag("span", percent(item.probability, 1)), class_="called"),
        tag("span", "is ", tag("b", item.true), " ", tag("span", percent(item.true_probability, 1)), class_="is"),
    )


def _of_inputs(first: Filters) -> str:
    return f" (the mean over its {first.inputs} input channels)" if first.inputs > 1 else ""


def _label_class(found: Findings) -> str:
    return "long" if max(map(len, found.data.labels)) > LABEL else "short"
