"""The exported files in a report, and where all of it comes from: recipe, data, versions, hashes."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from lenet_edge.bench.measuring import BenchRow
from lenet_edge.evaluation.comparison import Verdict
from lenet_edge.report.bars import Bar, draw_bars
from lenet_edge.report.blocks import MINUS, SPACE, definitions, percent, size_of, table, titled
from lenet_edge.report.charts import Dot, scatter
from lenet_edge.report.findings import Findings
from lenet_edge.report.markup import Content, Markup, join, tag
from lenet_edge.runs.exported import PYTORCH


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
            _named(_reference(found), "weights"),
            size_of(sizes[PYTORCH]),
            percent(checked.reference_accuracy),
            "",
            "",
            *_latency(reference),
        ]
    ]
    rows += [
        [
            _file(item, checked.max_drop_pp),
            size_of(sizes[item.path]),
            *_accuracy(item),
            *_latency(timings.get(item.path)),
        ]
        for item in checked.verdicts
    ]
    heads = ["file", "size", "accuracy", "change, pp", "agreement"]
    heads += ["latency, \u00b5s"] if timings else []
    heads += ["of PyTorch's"] if reference else []
    return join(
        table(
            f"Each file on all {checked.images:,} test images. Change: its accuracy minus that of "
            f"{checked.reference}, in percentage points, with the 95{SPACE}% interval for paired data (Tango) below. "
            f"Agreement: how often it gives the same class."
            + (" Latency: median of one image on one thread, with its interval." if timings else ""),
            heads,
            [row[: len(heads)] for row in rows],
        ),
        tag(
            "div",
            titled(
                "Accuracy, %, against latency",
                _trade_off(found),
                "Up and to the left is better. The vertical lines are the intervals of the change.",
            )
            if timings
            else None,
            titled("Size on disk", _sizes(found)),
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
        definitions({key.replace("_", " "): value for key, value in recipe.items()}),
        tag("h3", "Data, by md5"),
        definitions({name: tag("code", md5) for name, md5 in record.data_md5s.items()}, "hashes"),
        tag("h3", "Files, by SHA-256"),
        definitions({name: tag("code", digest) for name, digest in found.file_sha256s.items()}, "hashes"),
        tag("h3", "Made with"),
        definitions({**made, **record.versions}),
    )


def best_files(found: Findings) -> dict[str, str]:
    if found.verification is None:
        return {}
    formats = {item.path: item.format for item in found.verification.verdicts}
    smallest = min(formats, key=lambda name: found.file_sizes[name])
    best = {f"smallest file, {formats[smallest]}": size_of(found.file_sizes[smallest])}
    timed = [row for row in found.timings if row.path in formats]
    if timed:
        fastest = min(timed, key=lambda row: row.p50_us)
        best[f"fastest file, {fastest.format}"] = f"{fastest.p50_us:.1f}{SPACE}\u00b5s"
    return best


def _file(item: Verdict, gate_pp: float) -> Markup:
    failed = tag("small", f"may lose more than {gate_pp:g} pp: failed the gate", class_="failed")
    return join(_named(item.format, item.path), None if item.passed else failed)


def _accuracy(item: Verdict) -> list[Content]:
    change, low, high = -item.accuracy_drop_pp, -item.drop_upper95_pp, -item.drop_lower95_pp
    return [
        percent(item.accuracy),
        _ranged(_signed(change, 2), _signed(low, 3), _signed(high, 3)),
        percent(item.agreement),
    ]


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
    dots = [
        Dot(_reference(found), "dot quiet", row.p50_us, reference, reference, reference)
        for row in found.timings
        if row.path == PYTORCH
    ]
    dots += [_dot(item, reference, latency[item.path]) for item in checked.verdicts if item.path in latency]
    described = "; ".join(f"{dot.name}: {percent(dot.y)}, {dot.x:.1f} microseconds" for dot in dots)
    lowest, highest = min(dot.y_low for dot in dots), max(dot.y_high for dot in dots)
    digits = int(np.clip(np.ceil(-np.log10(max(100 * (highest - lowest), 1e-3) / 4)), 0, 3))
    return scatter(
        "trade-off",
        "Accuracy against latency",
        described + f". The vertical lines are the intervals of the change against {checked.reference}.",
        dots,
        "median latency of one image, \u00b5s (logarithmic)",
        lambda value: f"{value:g}",
        lambda value: f"{100 * value:.{digits}f}",
    )


def _reference(found: Findings) -> str:
    return "original" if found.record.is_foreign else "PyTorch"


def _dot(item: Verdict, reference: float, latency: float) -> Dot:
    low, high = reference - item.drop_upper95_pp / 100, reference - item.drop_lower95_pp / 100
    return Dot(item.format, "dot accent", latency, item.accuracy, low, high)


def _sizes(found: Findings) -> Markup:
    assert found.verification is not None
    formats = {PYTORCH: _reference(found), **{item.path: item.format for item in found.verification.verdicts}}
    sizes = {formats[name]: size for name, size in found.file_sizes.items()}
    return draw_bars([Bar(name, size, size_of(size)) for name, size in sizes.items()], "accent")


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


def _named(name: str, detail: str) -> Markup:
    return join(name, tag("small", detail))


def _ranged(value: str, low: str, high: str) -> Markup:
    return join(value, tag("small", f"{low} to {high}"))


def _signed(value: float, digits: int) -> str:
    return f"{value + 0.0:+.{digits}f}".replace("-", MINUS)
