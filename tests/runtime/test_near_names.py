"""A nearly right name of a recipe, a data set or a format is answered with the near one."""

import string
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lenet_edge.bench.measuring import APIS
from lenet_edge.commands.predict import FITS
from lenet_edge.data.datasets import DATASETS, load_dataset
from lenet_edge.networks.architectures import IMPORTED_ACTIVATIONS
from lenet_edge.networks.recipes import RECIPES, find_recipe
from lenet_edge.options import one_of
from lenet_edge_exporters.export_job import CALIBRATION_METHODS
from lenet_edge_exporters.formats import FORMATS, checked_names
from lenet_edge_runtime.near_names import did_you_mean, near_path

TABLES = [list(table) for table in (RECIPES, DATASETS, FORMATS, IMPORTED_ACTIVATIONS, CALIBRATION_METHODS, APIS, FITS)]
SHORTEST = 3  # of a shorter name too little is left


@pytest.mark.parametrize(
    ("find", "given", "meant"),
    [
        (find_recipe, "lenet5-clasic", "lenet5-classic"),
        (find_recipe, "LeNet5", "lenet5"),
        (load_dataset, "fashion_mnist", "fashion-mnist"),
        (load_dataset, "MNIST", "mnist"),
        (lambda name: checked_names([name]), "onxx", "onnx"),
    ],
)
def test_the_near_name_is_suggested(find: Callable[[str], object], given: str, meant: str) -> None:
    with pytest.raises(Exception, match=f"did you mean '{meant}'\\?"):
        find(given)
    with pytest.raises(Exception, match="is called 'zzzzzz'; choose"):
        find("zzzzzz")


def slips(name: str) -> Iterator[str]:
    """The name with one letter dropped, or two neighbours swapped."""
    for index in range(len(name)):
        yield name[:index] + name[index + 1 :]
        yield name[:index] + name[index : index + 2][::-1] + name[index + 2 :]


def distance(one: str, other: str) -> int:
    """The least number of letters dropped, added, changed, or swapped with their neighbours (Damerau 1964)."""
    rows = [list(range(len(other) + 1))]
    for i, a in enumerate(one, start=1):
        rows.append([i])
        for j, b in enumerate(other, start=1):
            best = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (a != b))
            if i > 1 and j > 1 and (a, one[i - 2]) == (other[j - 2], b):
                best = min(best, rows[i - 2][j - 2] + 1)
            rows[i].append(best)
    return rows[-1][-1]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table[0])
def test_a_slip_of_one_letter_is_answered_with_a_name_as_near(table: list[str]) -> None:
    for name in table:
        for slip in slips(name) if len(name) >= SHORTEST else ():
            if slip not in table:
                suggested = did_you_mean(slip, table).split("'")[1]
                assert suggested == name or distance(slip, suggested) <= 1, slip


@settings(max_examples=200)
@given(st.text(string.ascii_lowercase, max_size=12), st.sampled_from(TABLES))
def test_what_is_suggested_is_in_the_table(name: str, table: list[str]) -> None:
    near = did_you_mean(name, table)
    assert near == "" or near.split("'")[1] in table


def test_near_path_is_written_as_it_would_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "lenet5-mnist-1").mkdir(parents=True)
    (tmp_path / "Theirs.onnx").touch()
    assert near_path(Path("runs/lenet5-mnst-1")) == "did you mean 'runs/lenet5-mnist-1'? "
    assert near_path(Path("Theirs.onx")) == "did you mean 'Theirs.onnx'? "
    assert near_path(Path("nowhere/lenet5")) == near_path(Path("photos")) == ""


def test_choices_are_given_back() -> None:
    assert one_of(("a", "b"), "b", "--letter") == "b"
