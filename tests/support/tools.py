"""Programs that tests run: skipped where one is missing, and shown where one fails."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def needs(*tools: str) -> None:
    """Skip the test where one of these programs is not installed."""
    for tool in tools:
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")


def said(*command: object, cwd: Path | None = None, **environment: str) -> str:
    """What a command prints; a failed assertion with all of it where it fails."""
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, cwd=cwd, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
