"""The parts of a report, each made of the findings."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from lenet_edge import console
from lenet_edge.benchmarking import PYTORCH, BenchRow
from lenet_edge.comparison import Verdict
from lenet_edge.datasets import DATASETS
from lenet_edge.evaluation import Evaluation, Mistake, most_frequent_confusions
from lenet_edge.history import Epoch
from lenet_edge.report.bars import Bar, draw_bars
from lenet_edge.report.charts import Dot, Line, line_chart, scatter
from lenet_edge.report.findings import Filters, Findings
from lenet_edge.report.markup import Content, Markup, join, tag
from lenet_edge.report.matrix import draw_matrix
from lenet_edge.report.pictures import picture, signed_picture
from lenet_edge.statistics import wilson_interval

CONFUSIONS = 8  # named beside the matrix
LABEL = 4  # characters of a label that has its probability beside it, not below
SPACE, MINUS = "\u00a0", "\u2212"


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
        "parameters": f"{found.record.metrics.get('parameters', 0):,}",
        **_best_files(found),
    }
    return tag(
        "header",
        tag("p", " \u00b7 ".join(_kicker(found)), class_="kicker"),
        tag("h1", title_of(found)),
        tag(
            "p",
            tag("span", _percent(scores.accuracy), class_="figure"),
            tag(
                "span",
                f"of {scores.images:,} test images recognised by the network in PyTorch; 95{SPACE}% interval "
                f"{_percent(low)} to {_percent(high)}",
                class_="beside",
            ),
            class_="headline",
        ),
        tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts.items()), class_="facts"),
    )


def _kicker(found: Findings) -> list[str]:
    record, parts = found.record, ["lenet-edge report"]
    if found.history:
        seconds = f"{sum(row.seconds for row in found.history):,.0f} s"
        parts += [f"seed {record.seed}", f"{len(found.history)} epochs in {seconds} on {record.device}"]
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
        Line("training", "quiet", [row.train_accuracy for row in rows], _percent(rows[-1].train_accuracy)),
        Line("validation", "accent", [row.val_accuracy for row in rows], _percent(rows[-1].val_accuracy)),
    ]
    return join(
        tag(
            "div",
            _titled(
                "Cross-entropy", _chart("loss", "Cross-entropy", loss, _loss_limits(rows), lambda value: f"{value:g}")
            ),
            _titled(
                "Accuracy, %",
                _chart("accuracy", "Accuracy", accuracy, _accuracy_limits(rows), lambda value: f"{100 * value:g}"),
            ),
            class_="pair",
        ),
        tag(
            "p",
            f"Training as it was optimised, in training mode and with the recipe's augmentation and smoothing: that is "
            f"why it may look worse than validation. On the test set: {_percent(tested.accuracy)}.",
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
            said=f"{_percent(1 - row.accuracy)} missed",
            interval=wilson_interval(row.support - round(row.accuracy * row.support), row.support),
            head=picture(_first_image(found, i), f"A test image of {row.label}", "pixels thumb"),
        )
        for i, row in enumerate(scores.per_class)
        if row.support
    ]
    rows: list[list[Content]] = [
        [
            row.label,
            _percent(row.accuracy),
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
        _titled(
            f"Share of each class that was missed, with its 95{SPACE}% interval (Wilson)", draw_bars(bars, "wrong")
        ),
        _table(
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
        _captioned(
            draw_matrix(labels, scores.confusion_matrix, f"Most frequent confusions: {described or 'none'}"),
            "A row for each class as it is, a column for each as it was called. Mistakes in orange, stronger where they "
            "are a larger share of their row.",
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
            f"test image that comes first ({first.label}), before its activation. Blue is above zero, orange below; each "
            f"picture is scaled to its own largest value.",
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


def files(found: Findings) -> Markup:
    """The exported files: table, accuracy against latency, sizes."""
    checked = found.verification
    if checked is None:
        return tag("p", "No files were exported. ", tag("code", "lenet-edge export --int8"), " writes them.")
    timings = {row.path: row for row in found.timings}
    reference = timings.get(PYTORCH)
    sizes = found.file_sizes
    rows: list[list[Content]] = [
        [
            _named("PyTorch", "weights"),
            _size(sizes[PYTORCH]),
            _percent(checked.reference_accuracy),
            "",
            "",
            *_latency(reference),
        ]
    ]
    for item in checked.verdicts:
        rows.append(
            [
                _named(item.format, item.path),
                _size(sizes[item.path]),
                _percent(item.accuracy),
                _ranged(
                    _signed(-item.accuracy_drop_pp, 2),
                    _signed(-item.drop_upper95_pp, 3),
                    _signed(-item.drop_lower95_pp, 3),
                ),
                _percent(item.agreement),
                *_latency(timings.get(item.path)),
            ]
        )
    heads = ["file", "size", "accuracy", "change, pp", "agreement"]
    return join(
        _table(
            f"Each file on all {checked.images:,} test images. Change: its accuracy minus PyTorch's, in percentage "
            f"points, with the 95{SPACE}% interval for paired data (Tango) below it. Agreement: how often it gives PyTorch's "
            f"class." + (" Latency: median of one image on one thread, with its interval." if timings else ""),
            [*heads, "latency, \u00b5s", "of PyTorch's"] if timings else heads,
            [row if timings else row[: len(heads)] for row in rows],
        ),
        tag(
            "div",
            _titled(
                "Accuracy, %, against latency",
                _trade_off(found),
                "Up and to the left is better. The vertical lines are the intervals of the change against PyTorch.",
            )
            if timings
            else None,
            _titled("Size on disk", _sizes(found)),
            class_="pair",
        ),
        _measured_on(found),
    )


def provenance(found: Findings) -> Markup:
    """The recipe, the data and the versions, and the commands that make it all again."""
    record = found.record
    recipe = {**_flat(asdict(record.recipe)), "seed": record.seed}
    said = [recipe.pop(key) for key in ("name", "summary", "source")]
    made = {"device": f"{record.device}, {record.threads} thread(s)", "created": record.created[:19].replace("T", " ")}
    return join(
        tag("h3", "Recipe"),
        tag("p", tag("b", said[0]), f": {said[1]}. {said[2]}."),
        _definitions(recipe),
        tag("h3", "Data"),
        _table(
            "MD5 of the data's files",
            ["file", "md5"],
            [[k, tag("code", v)] for k, v in record.data_md5s.items()],
            "text",
        ),
        tag("h3", "Files"),
        _table(
            "SHA-256 of the weights and of the exported files",
            ["file", "sha256"],
            [[name, tag("code", digest)] for name, digest in found.file_sha256s.items()],
            "text",
        ),
        tag("h3", "Made with"),
        _definitions({**made, **record.versions}),
    )


def _best_files(found: Findings) -> dict[str, str]:
    if found.verification is None:
        return {}
    formats = {item.path: item.format for item in found.verification.verdicts}
    smallest = min(formats, key=lambda name: found.file_sizes[name])
    best = {f"smallest file, {formats[smallest]}": _size(found.file_sizes[smallest])}
    timed = [row for row in found.timings if row.path in formats]
    if timed:
        fastest = min(timed, key=lambda row: row.p50_us)
        best[f"fastest file, {fastest.format}"] = f"{fastest.p50_us:.1f}{SPACE}\u00b5s"
    return best


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
    alt = f"Test image {item.index}: {item.true}, called {item.predicted} with {_percent(item.probability, 1)}"
    return tag(
        "li",
        picture(found.data.test_pixels[item.index], alt),
        tag("span", tag("b", item.predicted), " ", tag("span", _percent(item.probability, 1)), class_="called"),
        tag("span", "is ", tag("b", item.true), " ", tag("span", _percent(item.true_probability, 1)), class_="is"),
    )


def _of_inputs(first: Filters) -> str:
    return f" (the mean over its {first.inputs} input channels)" if first.inputs > 1 else ""


def _latency(row: BenchRow | None) -> list[Content]:
    if row is None:
        return ["", ""]
    low, high = row.p50_ci95_us
    relative = "" if row.relative_to_pytorch is None else f"{row.relative_to_pytorch:.3f}"
    return [_ranged(f"{row.p50_us:.1f}", f"{low:.1f}", f"{high:.1f}"), relative]


def _trade_off(found: Findings) -> Markup:
    checked = found.verification
    assert checked is not None  # there are no timings without files
    latency = {row.path: row.p50_us for row in found.timings}
    reference = checked.reference_accuracy
    dots = [Dot("PyTorch", "dot quiet", latency[PYTORCH], reference, reference, reference)]
    dots += [_dot(item, reference, latency[item.path]) for item in checked.verdicts]
    described = "; ".join(f"{dot.name}: {_percent(dot.y)}, {dot.x:.1f} microseconds" for dot in dots)
    lowest, highest = min(dot.y_low for dot in dots), max(dot.y_high for dot in dots)
    digits = int(np.clip(np.ceil(-np.log10(max(100 * (highest - lowest), 1e-3) / 4)), 0, 3))
    return scatter(
        "trade-off",
        "Accuracy against latency",
        described + ". The vertical lines are the intervals of the change against PyTorch.",
        dots,
        "median latency of one image, \u00b5s (logarithmic)",
        lambda value: f"{value:g}",
        lambda value: f"{100 * value:.{digits}f}",
    )


def _dot(item: Verdict, reference: float, latency: float) -> Dot:
    low, high = reference - item.drop_upper95_pp / 100, reference - item.drop_lower95_pp / 100
    return Dot(item.format, "dot accent", latency, item.accuracy, low, high)


def _sizes(found: Findings) -> Markup:
    assert found.verification is not None
    formats = {PYTORCH: "PyTorch", **{item.path: item.format for item in found.verification.verdicts}}
    sizes = {formats[name]: size for name, size in found.file_sizes.items()}
    return draw_bars([Bar(name, size, _size(size)) for name, size in sizes.items()], "accent")


def _measured_on(found: Findings) -> Markup | None:
    if not found.timings or found.host is None:
        return None
    host, row = found.host, found.timings[0]
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    return tag(
        "p",
        f"Latency: {row.calls:,} calls each, interleaved over fresh sessions, on {host['cpu']} "
        f"({', '.join(host['instruction_sets'])}; {host['cores']} cores, load {host['load_1min']}), {host['system']}; "
        f"{versions}.",
        class_="note",
    )


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Nested fields on one level: those of the network are its own."""
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        flat.update(_flat(value) if isinstance(value, Mapping) else {key: value})
    return flat


def _definitions(items: Mapping[str, Any]) -> Markup:
    pairs = (tag("div", tag("dt", key.replace("_", " ")), tag("dd", _plain(value))) for key, value in items.items())
    return tag("dl", *pairs, class_="definitions")


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _captioned(content: Content, caption: str) -> Markup:
    return tag("figure", content, tag("figcaption", caption))


def _titled(title: str, content: Content, remark: str | None = None) -> Markup:
    return tag("figure", tag("figcaption", title, class_="title"), content, remark and tag("p", remark, class_="note"))


def _named(name: str, detail: str) -> Markup:
    return join(name, tag("small", detail))


def _ranged(value: str, low: str, high: str) -> Markup:
    return join(value, tag("small", f"{low} to {high}"))


def _label_class(found: Findings) -> str:
    return "long" if max(map(len, found.data.labels)) > LABEL else "short"


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[Content]], class_: str | None = None) -> Markup:
    """A table in a box of its own that scrolls, by keyboard too, where the screen is too narrow for it."""
    body = (tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows)
    table = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *(tag("th", head, scope="col") for head in heads))),
        tag("tbody", *body),
        class_=class_,
    )
    return tag("div", table, class_="scroll", role="region", tabindex=0, aria_label=f"Table: {heads[0]}, {heads[1]}")


def _percent(fraction: float, digits: int = 2) -> str:
    return console.percent(fraction, digits).replace(" ", SPACE)


def _size(size: int) -> str:
    return console.kilobytes(size).replace(" ", SPACE)


def _signed(value: float, digits: int) -> str:
    return f"{value + 0.0:+.{digits}f}".replace("-", MINUS)
