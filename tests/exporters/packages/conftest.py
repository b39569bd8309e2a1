"""Exported folders by random weights, and their packages, each made once."""

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from export_jobs import make_job
from lenet_edge_exporters import FORMATS, formats, own_files, packages
from lenet_edge_exporters.packages import PACKAGES
from lenet_edge_runtime.errors import LenetEdgeError

NAME = "digits"
Packed = Callable[[str], Path]
Exported = Callable[..., Path]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The folder of a format, by its name, that of the network in C, and its labels. Read-only for tests.

    Skips where a tool that makes it is missing.
    """

    @functools.cache
    def folder(format_name: str, name: str = NAME, labels: tuple[str, ...] = tuple("0123456789")) -> Path:
        row = FORMATS[format_name]
        try:
            assert row.needs
            row.needs()
        except LenetEdgeError as error:
            pytest.skip(str(error))
        job = make_job("lenet5")
        content = row.export(replace(job, c_name=name, spec=replace(job.spec, labels=labels)))
        path = tmp_path_factory.mktemp(format_name) / f"digit-net{row.suffix}"
        formats.write_content(path, content)
        own_files.remember(formats.sha256_of(content))
        return path

    return folder


@pytest.fixture(scope="session")
def packed(exported: Exported) -> Packed:
    """The package of a kind, by its name. Read-only for tests."""

    @functools.cache
    def package(kind_name: str) -> Path:
        kind = PACKAGES[kind_name]
        return packages.write(kind, exported(kind.format)).path

    return package
