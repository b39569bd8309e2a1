"""What a study leaves behind: its document, tables and pictures."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lenet_edge.runs.history import read_history
from lenet_edge.studies.plots import draw_accuracies, draw_study_curves
from lenet_edge.studies.results import Results, counted, describe
from lenet_edge.studies.studies import Member, Study
from lenet_edge_exporters import atomic
from lenet_edge_runtime.printable import csv_row


def conclude(study: Study, members: Sequence[Member]) -> dict[str, Any]:
    """Write the study's tables, pictures and document from its finished runs; return the document."""
    results = Results.read(members)
    document = describe(study, results)
    title = f"{document['dataset']}: mean and standard deviation over {counted(len(document['seeds']), 'seed')}"
    atomic.write_text(study.results_path, _csv(document["runs"]))
    atomic.write_text(study.comparisons_path, _csv(document["comparisons"]))
    draw_accuracies(results, title, study.accuracy_path)
    histories = {recipe: [read_history(run) for run in results.runs(recipe)] for recipe in results.recipes}
    draw_study_curves(histories, title, study.curves_path)
    atomic.write_text(study.document_path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return document


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join([*map(csv_row, rows[:1]), *(csv_row(row.values()) for row in rows)])  # keys, then values
