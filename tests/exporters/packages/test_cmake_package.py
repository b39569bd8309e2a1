"""The package for CMake: built, installed, and found by another project."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import needs, said

Folder = Callable[[str], Path]
CONFIGURE = ("-G", "Unix Makefiles")


@pytest.fixture(scope="module")
def package(packed: Folder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, built and installed into `installed` as its README says."""
    needs("cmake", "gcc", "make")
    folder = Path(shutil.copytree(packed("cmake"), tmp_path_factory.mktemp("cmake") / "package"))
    said("cmake", "-S", folder, "-B", folder / "build", *CONFIGURE)
    said("cmake", "--build", folder / "build")
    said("cmake", "--install", folder / "build", "--prefix", folder / "installed")
    return folder


def test_self_test_passes(package: Path) -> None:
    assert "100% tests passed" in said("ctest", cwd=package / "build")


def test_example_finds_what_was_installed_and_classifies(package: Path, tmp_path: Path) -> None:
    """By the installed files alone: neither the sources nor the build are there any more."""
    installed, example = tmp_path / "installed", tmp_path / "example"
    shutil.copytree(package / "installed", installed)
    shutil.copytree(package / "example", example)
    said("cmake", "-S", example, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={installed}", *CONFIGURE)
    said("cmake", "--build", tmp_path / "build")
    answer, expected = said(tmp_path / "build" / "classify").strip().split(", ")
    assert answer.removeprefix("answer ") == expected.removeprefix("expected ") != "0"
    assert {path.name for path in installed.rglob("*") if path.is_file()} == {
        "digits.h", "libdigits.a", "digitsConfig.cmake", "digitsConfigVersion.cmake", "digitsTargets.cmake",
        "digitsTargets-release.cmake",
    }  # fmt: skip
    for file in installed.rglob("*.cmake"):
        assert str(package) not in file.read_text()  # it may be moved


def test_older_package_than_asked_for_is_not_found(package: Path, tmp_path: Path) -> None:
    lines = ["cmake_minimum_required(VERSION 3.14)", "project(later LANGUAGES C)", "find_package(digits 99 CONFIG)"]
    (tmp_path / "CMakeLists.txt").write_text("\n".join([*lines, "message(STATUS found=${digits_FOUND})"]))
    configured = said("cmake", "-S", tmp_path, "-B", tmp_path / "b", f"-DCMAKE_PREFIX_PATH={package}/installed")
    assert "found=0" in configured


def test_target_has_the_same_name_inside_another_project(packed: Folder, tmp_path: Path) -> None:
    needs("cmake", "gcc", "make")
    lines = [
        "cmake_minimum_required(VERSION 3.14)",
        "project(parent LANGUAGES C)",
        f'add_subdirectory("{packed("cmake")}" net)',
        f'add_executable(classify "{packed("cmake")}/example/classify.c")',
        "target_link_libraries(classify PRIVATE digits::digits)",
    ]
    (tmp_path / "CMakeLists.txt").write_text("\n".join(lines))
    said("cmake", "-S", tmp_path, "-B", tmp_path / "build", *CONFIGURE)
    said("cmake", "--build", tmp_path / "build", "--target", "classify")
    assert said(tmp_path / "build" / "classify").startswith("answer ")
