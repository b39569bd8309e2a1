"""The wheel that pip installs: all files of the three packages and nothing else, and what it says of itself."""

import email
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "lenet_edge": ROOT / "lenet_edge",
    "lenet_edge_exporters": ROOT / "exporters" / "lenet_edge_exporters",
    "lenet_edge_runtime": ROOT / "runtime" / "lenet_edge_runtime",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
INTERPRETERS = ["3.11", "3.12", "3.13"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_is_in_the_wheel(package: str, wheel: zipfile.ZipFile) -> None:
    folder = PACKAGES[package]
    files = {f"{package}/{path.relative_to(folder).as_posix()}" for path in folder.rglob("*") if path.is_file()}
    shipped = {name for name in wheel.namelist() if name.startswith(f"{package}/")}
    assert shipped == {name for name in files if "__pycache__" not in name}
    assert f"{package}/py.typed" in shipped  # without it a user's type checker sees no types


def test_nothing_else_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    assert {name.partition("/")[0] for name in wheel.namelist()} == {
        *PACKAGES, f"lenet_edge-{PROJECT['version']}.dist-info",
    }  # fmt: skip


def test_metadata_names_the_interpreters_and_addresses(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    metadata = email.message_from_bytes(wheel.read(name))
    versions = [value.rpartition(" ")[2] for value in metadata.get_all("Classifier", []) if " :: 3." in value]
    assert versions == INTERPRETERS
    assert metadata["Requires-Python"] == f">={INTERPRETERS[0]}"
    addresses = dict(value.split(", ") for value in metadata.get_all("Project-URL", []))
    assert set(addresses) == {"Homepage", "Documentation", "Changelog", "Issues"}
    assert all(address.startswith("https://") for address in addresses.values())


def test_ci_and_workflows_use_the_same_interpreters() -> None:
    assert re.search(r"^INTERPRETERS=\"(.+)\"$", (ROOT / ".ci" / "interpreters").read_text(encoding="utf-8"), re.M)[
        1
    ].split() == [*INTERPRETERS]  # type: ignore[index]
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert f"python: {INTERPRETERS!r}".replace("'", '"') in workflow
