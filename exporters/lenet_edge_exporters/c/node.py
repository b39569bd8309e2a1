"""A WebAssembly folder in Node: for checks, not for timing."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.metadata import shortened
from lenet_edge_runtime.spec import ModelSpec, check_outputs

SECONDS = 120  # that Node may take for one call
MEMORY = 4 * 2**30  # bytes that it may write to, on Linux; Node reserves far more addresses than it uses
ERROR = 4096  # bytes of what it says of an error
SCRIPT = """
import { load } from "./lenet.mjs";
import { readFileSync, writeFileSync } from "node:fs";
const network = await load(readFileSync("lenet.wasm"));
writeFileSync(1, new Uint8Array(network.predict(new Uint8Array(readFileSync(0))).buffer));
"""


def find_node() -> str:
    """The path of Node.js; raises ModelFileError where there is none."""
    found = shutil.which("node")
    if found is None:
        raise ModelFileError("found no Node.js to check the wasm export with; install Node.js 18 or newer")
    return found


def permission_of(node: str) -> str | None:
    """The option that keeps a script from files, processes and threads; None of a node that has none (before 20).

    https://nodejs.org/api/permissions.html: without its first name since 22.13 and 23.5.
    """
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.(\d+)", said)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if version < (20, 0):
        return None
    stable = version >= (23, 5) or (22, 13) <= version < (23, 0)
    return "--permission" if stable else "--experimental-permission"


class NodeModel:
    """A folder of this format, run by a Node of its own for each call."""

    def __init__(self, files: Mapping[str, bytes], metadata: dict[str, str], confined: bool = False) -> None:
        self.metadata = metadata
        self._spec = ModelSpec.from_metadata(metadata)
        self._files = files
        self._node = find_node()
        self._permission = permission_of(self._node)
        if confined and self._permission is None:
            raise ModelFileError("this node has no permission model to run others' code under; install Node.js 22")

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw pixels, uint8 [n, c, h, w], to logits, float32 [n, classes]; ModelFileError for any other answer."""
        size = 4 * len(pixels) * len(self._spec.labels)
        with tempfile.TemporaryDirectory() as temporary:
            place = Path(temporary).resolve()
            for name, content in {**self._files, "run.mjs": SCRIPT.encode(), "pixels": pixels.tobytes()}.items():
                (place / name).write_bytes(content)
            confined = [self._permission, f"--allow-fs-read={place}"] if self._permission else []
            command = [str(self._node), "--no-warnings", *confined, str(place / "run.mjs")]
            returncode, said = run_bounded(command, place / "pixels", size + ERROR, SECONDS)
        if returncode:
            raise ModelFileError(f"node does not run the wasm export: {shortened(_complaint(said), 200)}")
        outputs, rest = divmod(len(said), 4 * max(1, len(pixels)))
        if rest:
            raise ModelFileError(f"the wasm export wrote {len(said):,} bytes, expected {size:,}: do not use it")
        check_outputs(outputs, self._spec, "the wasm export")
        return np.frombuffer(said, "<f4").reshape(len(pixels), -1).astype(np.float32)

    def bind(self, pixels: NDArray[np.uint8]) -> Callable[[], object]:
        """A call through a new process: its time says nothing about the network."""
        return lambda: self.logits(pixels)


def run_bounded(command: Sequence[str], stdin: Path, most: int, seconds: float) -> tuple[int, bytes]:
    """Run a command in the folder of its input; its exit code, and at most so many bytes of all that it wrote.

    Raises ModelFileError where it is not done after `seconds`. What writes more than `most` is stopped.
    """
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    with (
        stdin.open("rb") as given,
        subprocess.Popen(
            command, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=stdin.parent
        ) as process,
    ):
        _limit_memory(process.pid)
        clock = threading.Timer(seconds, stop)
        clock.start()
        try:
            said = process.stdout.read(most)  # type: ignore[union-attr]  # a pipe
            if len(said) == most:
                process.kill()
            returncode = process.wait()
        finally:
            clock.cancel()
            process.kill()
    if late.is_set():
        raise ModelFileError(f"the wasm export is not done after {seconds:g} s: do not use it")
    return returncode, said


def _limit_memory(pid: int) -> None:
    """Limit what the process may write to; on Linux alone can one process do that to another."""
    try:
        from resource import RLIMIT_DATA, prlimit
    except ImportError:
        return
    with contextlib.suppress(OSError, ValueError):  # it is gone already, or a lower limit stands
        prlimit(pid, RLIMIT_DATA, (MEMORY, MEMORY))


def _complaint(said: bytes) -> str:
    """The line of Node's report that names the error."""
    lines = said.decode(errors="replace").splitlines()
    return next((line for line in lines if "Error" in line), " ".join(lines))
