"""What was trusted and is not worth it: whatever it answers, the one who asked gets logits or one typed error."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from lenet_edge.artefacts.exporting import export_run
from lenet_edge.runs.opened import open_run
from lenet_edge.runs.run import Run
from lenet_edge_exporters import open_file, own_files
from lenet_edge_exporters.c import node, wasm
from lenet_edge_runtime import LenetEdgeError, ModelFileError
from time_limit import at_most

SECONDS = 240.0  # two children, each of which imports torch, on a machine that others use
LOAD = "export const load = 1; "
PREDICT = "export const load = async () => ({{ predict(pixels) {{ {} }} }});"
LOADERS = {
    "no module": "this is no JavaScript",
    "throws": LOAD + "throw new Error('\\u001b[31mred\\n' + 'x'.repeat(1e6));",
    "leaves": LOAD + "process.exit(0);",
    "leaves with a code": LOAD + "process.exit(77);",
    "no function": LOAD,
    "no array": PREDICT.format("return 1;"),
    "odd bytes": PREDICT.format("return { buffer: new ArrayBuffer(7) };"),
    "too few": PREDICT.format("return new Float32Array(3);"),
    "too many": PREDICT.format("return new Float32Array(4096);"),
    "chatter": PREDICT.format("console.log('hello'); return new Float32Array(10);"),
    "for ever": LOAD + "for (;;) {}",
    "writes for ever": LOAD + "import fs from 'node:fs'; for (;;) fs.writeSync(1, 'x'.repeat(65536));",
    "writes errors for ever": LOAD + "import fs from 'node:fs'; for (;;) fs.writeSync(2, 'x'.repeat(65536));",
    "never answers": LOAD + "await new Promise((done) => setTimeout(done, 1e8));",
    "takes all memory": LOAD + "const kept = []; for (;;) kept.push(new Uint8Array(2 ** 28).fill(1));",
    "takes a heap": LOAD + "const kept = []; for (;;) kept.push(new Array(1e6).fill(1.5));",
}
# Written wherever the answer might go, before the network is opened.
ANSWERS = (b"{}\n", b'{"array": false, "metadata": {"a": 1}}\n', b'{"error": ["\\u001b[31m"]}\n')
MORE_ANSWERS = (
    b"", b"[]\n", b"\xff\n", b'{"array": true}\n', b'{"array": false, "metadata": {}}\n', b"[" * 100_000 + b"\n",
    b'{"array": true, "metadata": {}}\n\x93NUMPY\x01\x00\x04\x00{}\n ',
)  # fmt: skip


@pytest.fixture(scope="module")
def folders(digits_run: Run, tmp_path_factory: pytest.TempPathFactory, wasm_tools: None) -> dict[str, Path]:
    if not shutil.which("cc"):
        pytest.skip("cc is not installed")
    made = export_run(
        open_run(digits_run), ["c", "wasm"], out=tmp_path_factory.mktemp("folders"), max_drop_pp=100
    ).artifacts
    return {artifact.format: artifact.path for artifact in made}


@pytest.fixture(autouse=True)
def _nothing_is_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_files, "is_own", lambda _: False)


@pytest.mark.parametrize("loader", LOADERS)
def test_node_answers_or_is_stopped(
    loader: str, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "SECONDS", 5)
    files, metadata = wasm.read(folders["wasm"])
    (tmp_path / "net-wasm").mkdir()
    for name, content in wasm._sealed({**files, wasm.LOADER: LOADERS[loader].encode()}, metadata).items():
        (tmp_path / "net-wasm" / name).write_bytes(content)
    with at_most(30), pytest.raises(LenetEdgeError) as caught:
        open_file(tmp_path / "net-wasm", trust=True)
    assert len(str(caught.value)) < 500
    assert "\x1b" not in str(caught.value)
    if loader in ("for ever", "never answers"):
        assert "is not done after 5 s" in str(caught.value)


@pytest.mark.parametrize("answer", [*ANSWERS, *(pytest.param(more, marks=pytest.mark.slow) for more in MORE_ANSWERS)])
def test_what_answers_in_the_childs_place(answer: bytes, folders: dict[str, Path], tmp_path: Path) -> None:
    """A library that writes into every open file of the child, and ends it."""
    path = Path(shutil.copytree(folders["c"], tmp_path / "net-c"))
    source = path / "lenet_metadata.c"
    source.write_text(
        f"{source.read_text()}\n#include <unistd.h>\n"
        f"static const unsigned char answer[] = {{{', '.join(map(str, answer + bytes(1)))}}};\n"
        "__attribute__((constructor)) static void evil(void)\n{\n"
        f"    for (int i = 3; i < 64; i++) if (write(i, answer, {len(answer)}) < 0) continue;\n    _exit(0);\n}}\n"
    )
    with at_most(SECONDS), pytest.raises(ModelFileError) as caught:
        open_file(path, trust=True)[1].logits(np.zeros((2, 1, 8, 8), np.uint8))
    assert "\x1b" not in str(caught.value)
