"""Five published student systems beside our recipes with their networks, from finished studies.

    lenet-edge compare RECIPE... --dataset mnist --seeds 3 --out studies/mnist
    python benchmarks/systems.py studies/mnist studies/fashion-mnist

Evaluates every finished run of the studies on the test set, writes measured.csv in lenet_edge/networks (one row a
run, what `lenet-edge recipes` shows), exports each recipe's first run and verifies the files, and prints the
tables.
"""

import argparse
import csv
import io
import shlex
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lenet_edge.artefacts.calibration import Int8Plan
from lenet_edge.artefacts.exporting import export_run
from lenet_edge.console import percent
from lenet_edge.data.image_data import ImageData
from lenet_edge.evaluation.evaluation import Evaluation, evaluate
from lenet_edge.evaluation.run_verification import Verdict, verify
from lenet_edge.networks import measured
from lenet_edge.networks.models import build_model, deployed_parameters, multiply_accumulates
from lenet_edge.networks.recipes import RECIPES
from lenet_edge.runs.exported import exported_files
from lenet_edge.runs.opened import OpenedRun, open_run
from lenet_edge.runs.run import Run
from lenet_edge.studies.studies import settings_of
from lenet_edge_exporters import atomic
from lenet_edge_exporters.formats import read_content, size_of

MEASURED = Path(measured.__file__).with_name("measured.csv")
Row = dict[str, Any]


@dataclass(frozen=True)
class Claim:
    """A figure that a system's authors reported, and the recipe with that system's network."""

    system: str
    recipe: str
    dataset: str
    metric: str
    reported: float
    value: Callable[[Row], float]  # of one run
    less_is_better: bool = False


def _accuracy(row: Row) -> float:
    return float(row["test_accuracy"])


def _of_class(index: int) -> Callable[[Row], float]:
    return lambda row: float(row["class_accuracies"].split()[index])


def _column(name: str) -> Callable[[Row], float]:
    return lambda row: float(row[name])


CLASSIC = "digits, classic LeNet-5"
DIGITS = "digits, three blocks"
DIGIT_ACCURACIES = (0.9949, 0.9894, 0.9922, 0.9921, 0.9919, 0.9910, 0.9885, 0.9854, 0.9825, 0.9722)
HEADLINES = [
    Claim("clothes, LeNet-5 with BatchNorm", "lenet5-clothes", "fashion-mnist", "accuracy", 0.90, _accuracy),
    Claim(CLASSIC, "lenet5-partial", "mnist", "accuracy", 0.9880, _accuracy),
    Claim(CLASSIC, "lenet5-classic", "mnist", "accuracy", 0.9880, _accuracy),
    Claim(CLASSIC, "lenet5-partial-reported", "mnist", "accuracy", 0.9880, _accuracy),
    Claim(CLASSIC, "lenet5-classic-reported", "mnist", "accuracy", 0.9880, _accuracy),
    Claim("clothes, base CNN", "fashion-cnn", "fashion-mnist", "accuracy", 0.9165, _accuracy),
    Claim("clothes, enhanced CNN", "fashion-cnn-enhanced", "fashion-mnist", "accuracy", 0.9268, _accuracy),
    Claim("clothes, enhanced CNN", "fashion-cnn-enhanced-flips", "fashion-mnist", "accuracy", 0.9268, _accuracy),
    *(
        claim
        for recipe in ("digits-cnn", "digits-cnn-reported")
        for claim in (
            Claim(DIGITS, recipe, "mnist", "macro F1", 0.9944, _column("macro_f1")),
            Claim(DIGITS, recipe, "mnist", "AUC-ROC", 1.0, _column("auc_roc")),
            Claim(DIGITS, recipe, "mnist", "log loss", 0.0176, _column("log_loss"), less_is_better=True),
        )
    ),
]
PER_DIGIT = [
    Claim(CLASSIC, recipe, "mnist", f"accuracy of digit {digit}", value, _of_class(digit))
    for recipe in ("lenet5-partial", "lenet5-classic")
    for digit, value in enumerate(DIGIT_ACCURACIES)
]


def main() -> None:
    """Write measured.csv and print the tables."""
    parser = argparse.ArgumentParser(description="The published systems beside our recipes, as Markdown tables.")
    parser.add_argument("studies", nargs="+", type=Path, metavar="STUDY", help="folders made by lenet-edge compare")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--no-verify", action="store_true", help="leave the exported files out")
    arguments = parser.parse_args()
    found = [opened for study in arguments.studies for opened in finished(study, arguments.data_dir)]
    runs = list(
        {(opened.record.recipe.name, opened.record.dataset, opened.record.seed): opened for opened in found}.values()
    )
    data = {opened.record.dataset: opened.data for opened in runs}
    rows = sorted(
        (measure(opened, data[opened.record.dataset]) for opened in runs),
        key=lambda row: (list(RECIPES).index(row["recipe"]), row["dataset"], row["seed"]),
    )
    atomic.write_text(MEASURED, as_csv(rows))
    print("\n".join(recipes_table(rows)), end="\n\n")
    for claims in (HEADLINES, PER_DIGIT):
        print("\n".join(claims_table(claims, rows)), end="\n\n")
    if not arguments.no_verify:
        print("\n".join(verify_table(runs, data)), end="\n\n")
    versions = runs[0].record.versions
    print(f"torch {versions['torch']}; n is the number of seeds. Command: `python {shlex.join(sys.argv)}`")


def finished(study: Path, data_dir: Path | None) -> Iterator[OpenedRun]:
    """The finished runs of a study whose recipe is today's."""
    for path in sorted(study.glob("runs/*/run.json")):
        opened = open_run(Run(path.parent), data_dir)
        record = opened.record
        if record.status == "finished" and settings_of(record.recipe) == settings_of(RECIPES[record.recipe.name]):
            yield opened


def measure(opened: OpenedRun, data: ImageData) -> Row:
    """One run on the test set."""
    run, record = opened.run, opened.record
    result: Evaluation = evaluate(opened.model, record.spec, data, name=run.name, format_name="pytorch", mistakes=0)
    assert result.accuracy == record.metrics["test_accuracy"], f"{run.folder} does not give what its training said"
    return {
        "dataset": record.dataset,
        "recipe": record.recipe.name,
        "seed": record.seed,
        "epochs": record.recipe.epochs,
        "train_accuracy": _rounded(record.metrics.get("train_accuracy")),  # runs of 0.1 have none
        "val_accuracy": _rounded(record.metrics["val_accuracy"]),
        "test_accuracy": result.accuracy,
        "macro_f1": round(result.macro.f1, 6),
        "auc_roc": round(result.auc_roc or 0.0, 6),
        "log_loss": round(result.log_loss, 6),
        "class_accuracies": " ".join(f"{row.accuracy:.4f}" for row in result.per_class),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def as_csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def recipes_table(rows: Sequence[Row]) -> list[str]:
    """Every recipe: size, epochs, and test accuracy on each data set that it was trained on."""
    lines = [
        "| recipe | what | parameters | MACs | epochs | test accuracy |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for recipe in RECIPES.values():
        net = build_model(recipe.model)
        datasets = dict.fromkeys(row["dataset"] for row in rows if row["recipe"] == recipe.name)
        accuracies = [
            f"{dataset} {_spread([_accuracy(row) for row in of(rows, recipe.name, dataset)], percent)}"
            for dataset in datasets
        ]
        lines.append(
            f"| `{recipe.name}` | {recipe.summary} | {deployed_parameters(net):,} | {multiply_accumulates(net):,} "
            f"| {recipe.epochs} | {'; '.join(accuracies)} |"
        )
    return lines


def of(rows: Sequence[Row], recipe: str, dataset: str) -> list[Row]:
    """The rows of one recipe on one data set."""
    return [row for row in rows if (row["recipe"], row["dataset"]) == (recipe, dataset)]


def _spread(values: Sequence[float], shown: Callable[[float], str]) -> str:
    deviation = f" ± {shown(statistics.stdev(values)).removesuffix(' %')}" if len(values) > 1 else ""
    return f"{shown(statistics.mean(values))}{deviation} (n = {len(values)})"


def claims_table(claims: Sequence[Claim], rows: Sequence[Row]) -> list[str]:
    """What was reported, and ours: mean and standard deviation over seeds."""
    lines = [
        "| system | figure | reported | recipe | ours | beaten |",
        "| --- | --- | ---: | --- | ---: | --- |",
    ]
    for claim in claims:
        values = [claim.value(row) for row in of(rows, claim.recipe, claim.dataset)]
        if values:
            lines.append(_claim_row(claim, values))
    return lines


def _claim_row(claim: Claim, values: list[float]) -> str:
    mean = statistics.mean(values)
    shown = percent if "accuracy" in claim.metric else "{:.4f}".format
    beaten = mean < claim.reported if claim.less_is_better else mean > claim.reported
    verdict = "yes" if beaten else "equalled" if shown(mean) == shown(claim.reported) else "no"
    return (
        f"| {claim.system} | {claim.metric} | {shown(claim.reported)} | `{claim.recipe}` | {_spread(values, shown)} "
        f"| {verdict} |"
    )


def verify_table(runs: Sequence[OpenedRun], data: dict[str, ImageData]) -> list[str]:
    """The first run of each recipe, exported as ONNX and int8 and verified on the whole test set."""
    lines = [
        "| recipe | data set | file | size | test accuracy | drop, pp (95 % interval) | verify |",
        "| --- | --- | --- | ---: | ---: | ---: | --- |",
    ]
    seen = set()
    for opened in runs:
        record = opened.record
        if (key := (record.recipe.name, record.dataset)) not in seen:
            seen.add(key)
            export_run(opened, ["onnx", "int8"], int8=Int8Plan())
            result = verify(exported_files(opened.run), opened, data[record.dataset], None, same_weights=True)
            lines += [_verify_row(*key, verdict) for verdict in result.verdicts]
    return lines


def _verify_row(recipe: str, dataset: str, verdict: Verdict) -> str:
    size = size_of(read_content(Path(verdict.path))) / 1000
    drop = f"{verdict.accuracy_drop_pp:+.2f} ({verdict.drop_lower95_pp:+.2f} to {verdict.drop_upper95_pp:+.2f})"
    return (
        f"| `{recipe}` | {dataset} | `{verdict.format}` | {size:.1f} kB | {percent(verdict.accuracy)} | {drop} "
        f"| {'passed' if verdict.passed else 'FAILED'} |"
    )


if __name__ == "__main__":
    main()
