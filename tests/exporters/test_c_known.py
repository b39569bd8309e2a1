"""`lenet_known` of the C export, which has no library to take exp from, against the runtime's own answer."""

import ctypes
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export_jobs import GREY_SPEC
from lenet_edge_exporters.c.folder import template
from lenet_edge_runtime.answers import are_known, log_sum_exp

RNG = np.random.default_rng(2)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc")
@pytest.mark.parametrize("threshold", [-3.5, 0.0, 6.25, 31.0])
def test_c_knows_what_python_knows(tmp_path: Path, threshold: float) -> None:
    function = template("lenet.c").split("int @NAME@_known")[1].replace("@THRESHOLD@", f"{threshold}f")
    source = tmp_path / "known.c"
    source.write_text(
        "#define LENET_CLASSES 10\nint lenet_known" + function.replace("@MACRO@", "LENET"), encoding="utf-8"
    )
    library = tmp_path / "known.so"
    flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-nostdlib", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "-o", library, source], check=True)
    known = ctypes.CDLL(str(library)).lenet_known
    spread = RNG.normal(0, RNG.choice([0.1, 3, 40], (3000, 1)), (3000, 10))
    logits = (
        spread - log_sum_exp(spread.astype(np.float32))[:, None] + threshold + RNG.normal(0, 1, (3000, 1))
    ).astype(np.float32)
    found = [bool(known(row.ctypes.data_as(ctypes.POINTER(ctypes.c_float)))) for row in logits]
    spec = replace(GREY_SPEC, threshold=threshold)
    near = np.abs(log_sum_exp(logits) - threshold) < 1e-4  # where float32 may decide otherwise
    assert near.mean() < 0.01
    np.testing.assert_array_equal(np.array(found)[~near], are_known(logits, spec)[~near])
    assert 0.3 < np.mean(found) < 0.7
