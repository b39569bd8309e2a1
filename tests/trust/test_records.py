"""Every field of every record that is read: a value that it cannot have gives one line that names it, no traceback."""

import copy
import dataclasses
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from command_line import CommandLine
from lenet_edge.bench.results import SCHEMA, BenchResults
from lenet_edge.networks.recipes import RECIPES
from lenet_edge.runs.record import RunRecord
from lenet_edge.runs.run import Run
from lenet_edge_exporters import manifest
from lenet_edge_runtime import records
from lenet_edge_runtime.errors import LenetEdgeError
from lenet_edge_runtime.records import RecordError
from lenet_edge_runtime.spec import ModelSpec

BAD = {
    "null": None, "true": True, "huge": 2**70, "negative": -1, "float": 0.5, "big": 1e300, "infinite": float("inf"),
    "nan": float("nan"), "text": "text", "path": "../../..", "absolute": "/etc/passwd", "control": "a\x1b[2Jb\n",
    "long": "x" * 100_000, "empty": "", "list": [], "object": {}, "lists": [[[]]], "deep": None,
}  # fmt: skip


def paths_of(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every field and entry in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*above, key)
        yield from paths_of(item, (*above, key))


def with_value(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(document)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


def without(document: Any, path: tuple[Any, ...]) -> Any:
    changed = copy.deepcopy(document)
    place = changed
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return changed


def mutants(document: Any) -> Iterator[tuple[str, str]]:
    """A document's JSON with one field of another value, or gone, each with what was done."""
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    for path in paths_of(document):
        for name, value in BAD.items():
            yield f"{path} {name}", json.dumps(with_value(document, path, deep if name == "deep" else value))
        yield f"{path} gone", json.dumps(without(document, path))
    for text in ("", "{", "[]", "null", "3", "[" * 100_000, '{"a":' * 50_000, "\x00"):
        yield f"document {text[:8]!r}", text


def test_every_mutant_of_a_run_json_is_a_record_or_one_line(digits_run: Run) -> None:
    document = json.loads(digits_run.record_path.read_text())
    refused = total = 0
    for what, text in mutants(document):
        total += 1
        try:
            record = RunRecord.from_json(text)
        except RecordError as error:
            refused += 1
            assert len(str(error)) < 400, what  # noqa: PT017 - either may be
            assert str(error).isprintable(), what  # noqa: PT017 - either may be
            continue
        assert RunRecord.from_json(record.to_json()) == record, what
        assert not set(record.recipe.name + record.dataset) & set("/\\"), what
        assert 0 <= record.seed < 2**64, what
    assert total > 600
    assert refused > total * 0.7


@pytest.mark.parametrize("cls", [ModelSpec, *{type(recipe.model): 0 for recipe in RECIPES.values()}])
def test_error_names_the_field(cls: type[Any], digits_run: Run) -> None:
    record = digits_run.read()
    models = [recipe.model for recipe in RECIPES.values() if type(recipe.model) is cls]
    fields = json.loads(json.dumps(asdict(models[0] if models else record.spec)))
    assert records.from_fields(cls, fields) is not None
    for field in dataclasses.fields(cls):
        with pytest.raises(RecordError, match=rf"^{field.name}\b"):
            records.from_fields(cls, {**fields, field.name: object()})
    with pytest.raises(RecordError, match=r"^other is no field"):
        records.from_fields(cls, {**fields, "other": 1})


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        (("seed",), 2**70, "seed is a number of at most 64 bits, got one of 71 bits"),
        (("recipe", "name"), "../../..", "recipe.name is a name without separators"),
        (("dataset",), "..", "dataset is a name without separators"),
        (("recipe", "model", "classes"), 10**9, "recipe.model.classes is from 2 to 10000"),
        (("recipe", "model", "classes"), 12, "spec.labels give 10 where recipe.model takes 12"),
        (("recipe", "epochs"), "many", "recipe.epochs is a whole number, got 'many'"),
        (("metrics", "test_accuracy"), None, "metrics.test_accuracy is a number, got None"),
        (("spec", "labels"), ["a"], "spec.labels has 2 to 10000 characters or entries, got 1"),
    ],
)
def test_damaged_run_is_named_and_others_go_on(
    field: tuple[str, ...], value: Any, said: str, digits_run: Run, cli: CommandLine
) -> None:
    good = Run(Path(shutil.copytree(digits_run.folder, Path("runs") / "good")))
    bad = Run(Path(shutil.copytree(digits_run.folder, Path("runs") / "bad")))
    document = json.loads(bad.record_path.read_text())
    bad.record_path.write_text(json.dumps(with_value(document, field, value)))
    manifest.add(bad.folder, [bad.record_path])  # as a forger would
    assert said in cli.fails("evaluate", bad.folder)
    assert said in cli.fails("train", "--qat", "--from", bad.folder, "--epochs", "1")
    result = cli("evaluate", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["model"] == str(good.folder)
    assert said in result.stderr
    assert {path.name for path in Path().iterdir()} <= {"runs", "cache"}


def test_run_json_that_nests_without_end_is_left_out(digits_run: Run, cli: CommandLine) -> None:
    shutil.copytree(digits_run.folder, Path("runs") / "good")
    Path("runs/deep").mkdir()
    Path("runs/deep/run.json").write_text("[" * 200_000, encoding="utf-8")
    result = cli("evaluate", "--json")
    assert result.exit_code == 0, result.output
    assert "left out: runs/deep/run.json is damaged (it nests too deep)" in result.stderr


def test_every_mutant_of_bench_results_is_one_line(digits_run: Run, cli: CommandLine) -> None:
    path = Path("results.json")
    cli("bench", "--run", digits_run.folder, "--rounds", "2", "--calls", "1", "--no-memory", "--out", path)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["schema"] == SCHEMA
    document["rows"] = document["rows"][:1]
    for what, text in mutants(document):
        path.write_text(text, encoding="utf-8")
        try:
            found = BenchResults.read(path)
        except LenetEdgeError as error:
            assert len(str(error)) < 500, what  # noqa: PT017 - either may be
        else:
            assert found.rows == [] or found.rows[0].p50_us > -2, what


@pytest.mark.parametrize("name", ["history.csv", "local.json"])
def test_every_mutant_of_a_small_record_is_one_line(name: str, digits_run: Run, tmp_path: Path) -> None:
    from lenet_edge.runs.history import read_history

    run = Run(Path(shutil.copytree(digits_run.folder, tmp_path / "run")))
    path = run.folder / name
    if name == "local.json":
        texts = [text for _, text in mutants({"dataset": "folder"})]
    else:
        rows = path.read_text().splitlines()
        cells = rows[1].split(",")
        texts = [
            "\n".join([rows[0], ",".join([*cells[:column], str(value), *cells[column + 1 :]]), *rows[2:]])
            for column in range(len(cells))
            for value in BAD.values()
        ]
    for text in texts:
        path.write_text(text)
        try:
            read_history(run) if name == "history.csv" else run.dataset_argument(digits_run.read())
        except LenetEdgeError as error:
            assert len(str(error)) < 700  # noqa: PT017 - either may be


def test_checkpoint_without_a_sensible_epoch_is_refused(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from lenet_edge.runs.checkpoints import load_state

    path = tmp_path / "checkpoint.safetensors"
    for epoch in ("", "-1", "1e3", '"x"', "null", "[]", str(2**70), "[" * 100_000):
        save_file({"a": torch.zeros(1)}, path, metadata={"epoch": epoch})
        with pytest.raises(LenetEdgeError, match="damaged"):
            load_state(path)
