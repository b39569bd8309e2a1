"""Packages: what every kind keeps, which are refused, and what the commands say of a package."""

import json
import re
import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import lenet_edge_exporters.packages
from command_line import CommandLine
from lenet_edge.runs.run import Run
from lenet_edge_exporters import FORMATS, open_file
from lenet_edge_exporters.packages import PACKAGES, chosen, render, write
from lenet_edge_exporters.packages.fields import npm_name, package_version, shown_answer
from lenet_edge_runtime import Classifier
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.proof import KnownAnswers

Folder = Callable[[str], Path]
KINDS = sorted(PACKAGES)
OF_C = [name for name in KINDS if PACKAGES[name].format == "c"]


# --- what is in a package


@pytest.mark.parametrize("kind", KINDS)
def test_exported_files_are_in_it_byte_for_byte(kind: str, packed: Folder, exported: Folder) -> None:
    row = PACKAGES[kind]
    assert row.copied
    for path, source in row.copied.items():
        original = exported(row.format) / source.format("digits")
        assert (packed(kind) / path.format("digits")).read_bytes() == original.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_its_files_are_those_of_its_row_and_the_same_each_time(kind: str, packed: Folder, exported: Folder) -> None:
    row, folder = PACKAGES[kind], packed(kind)
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert set(found) == set(row.files("digits"))
    assert render(row, exported(row.format)) == found


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_filled_in_and_no_place_of_this_machine_is_named(kind: str, packed: Folder) -> None:
    for file in PACKAGES[kind].templates:
        text = (packed(kind) / file.format("digits")).read_text()
        assert not re.search(r"@[A-Z_]+@", text)
        assert str(Path.home()) not in text
        assert str(packed(kind).parent) not in text


@pytest.mark.parametrize("kind", KINDS)
def test_readme_names_every_file_and_folder(kind: str, packed: Folder) -> None:
    readme = (packed(kind) / "README.md").read_text()
    tops = {file.partition("/")[0] for file in PACKAGES[kind].files("digits")}
    assert [top for top in tops - {"README.md"} if top not in readme] == []


def test_every_template_is_in_a_package() -> None:
    place = Path(str(resources.files(lenet_edge_exporters.packages) / "templates"))
    there = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert there == {source for row in PACKAGES.values() for source in row.templates.values()}


@pytest.mark.parametrize("kind", OF_C)
def test_labels_of_a_user_are_in_the_readme_alone(kind: str, exported: Callable[..., Path]) -> None:
    """Quotes, ends of comments and fields of templates: the C escapes them, and no other file of a tool has them."""
    labels = ('"', "*/", "@NAME@", "`", "\\", "{}", "a,b", "%d", "ü", "-->")
    plain, hostile = (render(PACKAGES[kind], exported("c", "digits", names)) for names in (tuple("0123456789"), labels))
    differ = {path for path in plain if plain[path] != hostile[path]}
    copied = {path.format("digits") for path in PACKAGES[kind].copied}
    assert differ - copied == {"README.md"}
    assert b'`"@NAME@"`' in hostile["README.md"]


def test_shown_answer_is_the_first_that_is_not_class_zero() -> None:
    pixels = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    logits = np.eye(3, dtype=np.float32)[[0, 0, 2, 1]]
    image, answer = shown_answer(KnownAnswers(pixels, logits, 0.0))
    assert (image.item(), answer) == (2, 2)
    image, answer = shown_answer(KnownAnswers(pixels, logits[[0, 0, 0, 0]], 0.0))
    assert (image.item(), answer) == (0, 0)


@pytest.mark.parametrize(
    ("version", "three"), [("0.3.0", "0.3.0"), ("1.2", "1.2.0"), ("1.2.3.dev4+g56", "1.2.3"), ("1.2+g5", "1.2.0")]
)
def test_version_of_a_package_is_three_numbers(version: str, three: str) -> None:
    assert package_version(version) == three


@pytest.mark.parametrize(
    ("stem", "name"), [("lenet5-mnist", "lenet5-mnist"), ("Own-My Data", "own-my-data"), ("_x", "x"), ("..", "lenet")]
)
def test_npm_name_is_one_that_npm_takes(stem: str, name: str) -> None:
    assert npm_name(stem) == name


# --- where it is written


@pytest.mark.parametrize("kind", OF_C)
def test_another_name_takes_the_place_of_the_name_before(
    kind: str, exported: Callable[..., Path], tmp_path: Path
) -> None:
    """The files of the other name go, those of a user stay, among them those of another network."""
    row, theirs = PACKAGES[kind], tmp_path / f"net-{kind}" / "clothes.h"
    for name in ("digits", "lenet"):
        shutil.rmtree(tmp_path / "net-c", ignore_errors=True)
        shutil.copytree(exported("c", name), tmp_path / "net-c")
        package = write(row, tmp_path / "net-c")
        shutil.copy(exported("c", name) / f"{name}.h", theirs)
    found = {path.relative_to(package.path).as_posix() for path in package.path.rglob("*") if path.is_file()}
    assert found == {*row.files("lenet"), "clothes.h"}


def test_folder_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net-c").mkdir()
    with pytest.raises(ModelFileError, match="is no folder of the C export"):
        write(PACKAGES["cmake"], tmp_path / "net-c")


# --- what is refused


def test_package_without_its_format_is_refused() -> None:
    with pytest.raises(ValueError, match="npm is made from the format wasm, and none is exported: add --format wasm"):
        chosen(["npm"], ["onnx", "c"])
    assert [kind.name for kind in chosen(["npm", "cmake", "npm"], ["c", "wasm"])] == ["npm", "cmake"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--format", "c", "--package", "npm"], "npm is made from the format wasm, and none is exported: add --format"),
        (["--package", "cmake"], "cmake is made from the format c, and none is exported: add --format c"),
        (["--format", "c", "--package", "cmak"], "no package is called 'cmak'; did you mean 'cmake'?"),
    ],
)
def test_package_that_cannot_be_is_a_usage_error(options: list[str], complaint: str, cli: CommandLine) -> None:
    failed = cli("export", *options)
    assert failed.exit_code == 2
    assert f"Error: Invalid value: --package: {complaint}" in failed.stderr


# --- what is said of a package


@pytest.mark.parametrize("kind", KINDS)
def test_package_that_is_opened_names_the_folder_it_was_made_from(kind: str, packed: Folder, cli: CommandLine) -> None:
    original = packed(kind).with_name(f"digit-net{FORMATS[PACKAGES[kind].format].suffix}")
    with pytest.raises(ModelFileError, match=f"is a package for {kind}; .*: give {re.escape(str(original))}$"):
        open_file(packed(kind))
    open_file(original)
    for command in ("verify", "bench"):
        assert f"give {original}" in cli.fails(command, packed(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_classifier_says_that_a_package_is_a_folder(kind: str, packed: Folder) -> None:
    with pytest.raises(ModelFileError, match=r"is a folder, expected a file: give .* the library that 'make' builds"):
        Classifier(packed(kind))


@pytest.mark.slow
@pytest.mark.usefixtures("c_folder")  # what skips without a compiler
def test_export_writes_packages_and_lists_their_files(digits_run: Run, cli: CommandLine, tmp_path: Path) -> None:
    words = ["--format", "c", *(word for name in OF_C for word in ("--package", name)), "--max-drop", "100"]
    done = cli("export", digits_run.folder, *words, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stderr
    written = json.loads(done.stdout)["packages"]
    assert [package["name"] for package in written] == OF_C
    listed = json.loads((tmp_path / "out" / "lenet-edge-manifest.json").read_text())["files"]
    for package in written:
        folder = Path(package["path"])
        assert package["bytes"] == sum((folder / name).stat().st_size for name in package["files"])
        assert all(f"{folder.name}/{name}" in listed for name in package["files"])
    rejected = cli(
        "export", digits_run.folder, *words[:-2], "--max-drop", "0", "--out", tmp_path / "rejected", "--json"
    )
    assert rejected.exit_code == 3
    assert "packages" not in json.loads(rejected.stdout)
    assert not list((tmp_path / "rejected").glob("*-cmake"))
