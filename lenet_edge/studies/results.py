"""What a study shows: means and deviations over seeds, and tested differences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lenet_edge.runs.record import RunRecord
from lenet_edge.runs.run import Run
from lenet_edge.studies.significance import Comparison, Sample, compare_all, smallest_significant
from lenet_edge.studies.studies import Member, Study, metrics_of

TESTED = ("train_accuracy", "test_accuracy")


@dataclass(frozen=True)
class Results:
    """The finished runs of a study's members, by recipe in the order asked for."""

    members: tuple[Member, ...]
    records: Mapping[Member, RunRecord]

    @classmethod
    def read(cls, members: Sequence[Member]) -> "Results":
        """Read the members' records."""
        return cls(tuple(members), {member: member.run.read() for member in members})

    @property
    def recipes(self) -> list[str]:
        return list(dict.fromkeys(member.recipe for member in self.members))

    @property
    def metrics(self) -> list[str]:
        """What all of the runs measured."""
        first, *others = (metrics_of(record.recipe) for record in self.records.values())
        return [metric for metric in first if all(metric in other for other in others)]

    def of(self, recipe: str) -> list[RunRecord]:
        """The recipe's runs, by seed."""
        return [record for member, record in self.records.items() if member.recipe == recipe]

    def runs(self, recipe: str) -> list[Run]:
        """Their folders."""
        return [member.run for member in self.members if member.recipe == recipe]

    def values(self, metric: str) -> dict[str, dict[int, float]]:
        """Recipe -> seed -> value."""
        return {
            recipe: {record.seed: float(record.metrics[metric]) for record in self.of(recipe)}
            for recipe in self.recipes
        }

    def samples(self, metric: str) -> dict[str, Sample]:
        """Recipe -> mean and standard deviation over seeds."""
        return {recipe: Sample.of(list(values.values())) for recipe, values in self.values(metric).items()}

    def comparisons(self, metric: str) -> list[Comparison]:
        """All pairs of recipes, corrected together."""
        return compare_all(self.values(metric))


def describe(study: Study, results: Results) -> dict[str, Any]:
    """What `compare --json` prints; accuracies and their deviations are fractions, differences percentage points."""
    first = next(iter(results.records.values()))
    seeds, pairs = len(results.members) // len(results.recipes), math.comb(len(results.recipes), 2)
    samples = {metric: results.samples(metric) for metric in results.metrics}
    return {
        "study": str(study.folder),
        "dataset": first.dataset,
        "seeds": sorted({member.seed for member in results.members}),
        "test_images": first.metrics["test_images"],
        "recipes": [
            {
                "recipe": recipe,
                "parameters": results.of(recipe)[0].metrics["parameters"],
                "epochs": results.of(recipe)[0].metrics["epochs"],
                "n": samples["test_accuracy"][recipe].n,
                **{metric: {"mean": of[recipe].mean, "sd": of[recipe].sd} for metric, of in samples.items()},
            }
            for recipe in results.recipes
        ],
        "comparisons": [
            _comparison_row(metric, comparison) for metric in TESTED for comparison in results.comparisons(metric)
        ],
        "smallest_significant_in_sd": smallest_significant(seeds, pairs),
        "remarks": _remarks(results),
        "runs": [_run_row(member, record, results.metrics) for member, record in results.records.items()],
        "files": [
            str(path) for path in (study.accuracy_path, study.curves_path, study.results_path, study.comparisons_path)
        ],
    }


def _remarks(results: Results) -> list[str]:
    """What a reader of the p values has to know."""
    recipes, records = len(results.recipes), list(results.records.values())
    seeds, pairs = len(records) // recipes, math.comb(recipes, 2)
    remarks = []
    if seeds == 1:
        remarks.append("one seed shows neither a spread nor what is chance: give --seeds 5")
    elif (least := smallest_significant(seeds, pairs)) is not None:
        remarks.append(
            f"{seeds} seeds and {counted(pairs, 'comparison')}: a mean difference counts as significant for certain "
            f"from {least:.1f} standard deviations of the differences between seeds"
        )
    found = {"device": {record.device for record in records}} | {
        package: {record.versions.get(package, "unknown") for record in records} for package in ("lenet-edge", "torch")
    }
    mixed = [f"{name} {' and '.join(sorted(values))}" for name, values in found.items() if len(values) > 1]
    return remarks + ([f"the runs differ in: {', '.join(mixed)}"] if mixed else [])


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _run_row(member: Member, record: RunRecord, metrics: Sequence[str]) -> dict[str, Any]:
    return {
        "recipe": member.recipe,
        "seed": member.seed,
        **{metric: record.metrics[metric] for metric in metrics},
        "epochs": record.metrics["epochs"],
        "seconds": record.metrics["seconds"],
        "device": record.device,
        "threads": record.threads,
        "processes": record.processes,
        "reused": member.finished,
        "run": member.run.name,
    }


def _comparison_row(metric: str, comparison: Comparison) -> dict[str, Any]:
    test = comparison.test
    low, high = test.ci95 or (None, None)
    return {
        "metric": metric,
        "a": comparison.a,
        "b": comparison.b,
        "n": test.n,
        "difference_pp": 100 * test.difference,
        "sd_pp": _pp(test.sd),
        "lower95_pp": _pp(low),
        "upper95_pp": _pp(high),
        "t": test.t,
        "p": test.p,
        "p_holm": comparison.p_holm,
        "significant": comparison.significant,
    }


def _pp(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction
