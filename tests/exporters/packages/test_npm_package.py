"""The package for npm: packed, installed, and imported as a program does; its logits are those of onnxruntime."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lenet_edge_exporters.packages import PACKAGES
from lenet_edge_runtime.metadata import of_text
from lenet_edge_runtime.proof import known_answers
from tools import needs, said

Folder = Callable[[str], Path]
AS_MODULE = 'import { labels, load } from "digit-net"; import { readFileSync, writeFileSync } from "node:fs";'
AS_COMMON = 'const { labels, load } = require("digit-net"); const { readFileSync, writeFileSync } = require("node:fs");'
REPLAY = """
load().then((network) => {
  const logits = network.predict(new Uint8Array(readFileSync("pixels")));
  writeFileSync("logits", new Uint8Array(logits.buffer));
  console.log(labels.join());
});
"""
TYPED = """
import { labels, load, type Network } from "digit-net";
const network: Network = await load();
const logits: Float32Array = network.predict(new Uint8Array(784));
export const label: string | undefined = labels[logits.length];
await load(new Uint8Array(3));
await load(new URL("lenet.wasm", "https://example.org"));
// @ts-expect-error it takes no number
await load(7);
// @ts-expect-error nor do images come as text
network.predict("seven");
"""
TYPED_COMMON = """
import lenet = require("digit-net");
export const logits: Promise<Float32Array> = lenet.load().then((network) => network.predict(new Uint8Array(784)));
"""


@pytest.fixture(scope="module")
def project(packed: Folder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the packed package installed, and the pixels of its known answers. Nothing is downloaded."""
    needs("node", "npm")
    folder = tmp_path_factory.mktemp("npm")
    quiet = ("--offline", "--no-audit", "--no-fund", "--cache", folder / "cache")
    said("npm", "pack", packed("npm"), "--pack-destination", folder, *quiet)
    (tarball,) = folder.glob("digit-net-*.tgz")
    (folder / "package.json").write_text("{}")
    said("npm", "install", *quiet, tarball, cwd=folder)
    metadata = of_text((packed("npm") / "lenet.json").read_bytes())
    (folder / "pixels").write_bytes(known_answers(metadata, "net").pixels.tobytes())
    return folder


def test_tarball_holds_every_file(project: Path) -> None:
    there = {path.name for path in (project / "node_modules" / "digit-net").iterdir()}
    assert there == set(PACKAGES["npm"].files("digits"))


@pytest.mark.parametrize(("program", "head"), [("replay.mjs", AS_MODULE), ("replay.cjs", AS_COMMON)])
def test_node_replays_the_known_answers(program: str, head: str, project: Path) -> None:
    (project / program).write_text(head + REPLAY)
    labels = said("node", program, cwd=project).strip()
    metadata = of_text((project / "node_modules" / "digit-net" / "lenet.json").read_bytes())
    assert labels.split(",") == json.loads(metadata["lenet_edge.labels"])
    answers = known_answers(metadata, "net")
    logits = np.fromfile(project / "logits", "<f4").reshape(answers.logits.shape)
    np.testing.assert_array_equal(logits, answers.logits)


def test_example_classifies(packed: Folder) -> None:
    needs("node")
    answer, expected = said("node", "example.mjs", cwd=packed("npm")).strip().split(", ")
    assert answer.removeprefix("answer ") == expected.removeprefix("expected ") != "0"


def test_browsers_get_the_loader_that_reads_no_files(packed: Folder) -> None:
    entry = json.loads((packed("npm") / "package.json").read_text())["exports"]["."]
    assert list(entry) == ["node", "default"]  # the first that fits is taken
    assert entry["default"]["default"] == "./lenet.mjs"
    assert "node:" not in (packed("npm") / "lenet.mjs").read_text()


def test_it_is_not_published_by_accident(packed: Folder) -> None:
    document = json.loads((packed("npm") / "package.json").read_text())
    assert document["private"] is True
    assert {"name", "version", "license"} <= document.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("resolution", "files"),
    [("node16", {"a.mts": TYPED, "b.cts": TYPED_COMMON}), ("bundler", {"a.mts": TYPED})],
)
def test_types_are_those_of_the_program(resolution: str, files: dict[str, str], project: Path) -> None:
    """By TypeScript, which npm fetches."""
    compiler = project / "node_modules" / ".bin" / "tsc"
    if not compiler.exists():
        fetched = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "typescript"], cwd=project, capture_output=True, check=False
        )
        if fetched.returncode:
            pytest.skip("npm cannot fetch typescript")
    for name, text in files.items():
        (project / name).write_text(text)
    module = "esnext" if resolution == "bundler" else resolution
    options = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom", "--types", ""]
    said(compiler, *options, "--module", module, "--moduleResolution", resolution, *files, cwd=project)
