"""Runs the page's modules in Node, for the tests of them."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

STATIC = Path(__file__).parents[2] / "lenet_edge" / "web" / "static"


def run_module(module: str, body: str, given: Any) -> Any:
    """What `body`, JavaScript with `m` for the page's module and `given` for the argument, returns."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    program = f"""
        import * as m from {json.dumps((STATIC / module).as_uri())};
        import {{ readFileSync }} from "node:fs";
        const given = JSON.parse(readFileSync(0, "utf8"));
        const bytes = (text) => Uint8Array.from(Buffer.from(text, "base64"));
        console.log(JSON.stringify(await (async () => {{ {body} }})()));
    """
    command = [node, "--input-type=module", "--eval", program]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
