"""The script that prints the README's tables, against the figures of the library."""

import os
import subprocess
import sys
from pathlib import Path

from conftest import EVERYWHERE
from lenet_edge.datasets import ImageData
from lenet_edge.exported import exported_files
from lenet_edge.runs import Run
from lenet_edge.verification import verify

ROOT = Path(__file__).parent.parent


def test_table_has_a_row_for_each_format_and_says_how_it_came_about(digits_run: Run, digits: ImageData) -> None:
    arguments = ["benchmarks/tables.py", str(digits_run.folder), "--rounds", "2", "--calls", "5"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    title, _, _, _, *rows, _, conditions = result.stdout.splitlines()
    assert title == "lenet5 on digits:"
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [row[0] for row in cells] == ["PyTorch", *(f"`{name}`" for name in EVERYWHERE)]
    expected = verify(exported_files(digits_run), digits_run, digits, 100, same_weights=True)
    for (_, size, accuracy, agreement, drop, latency, ratio), verdict in zip(cells[1:], expected.verdicts, strict=True):
        assert size == f"{Path(verdict.path).stat().st_size / 1000:.1f} kB"
        assert accuracy == f"{100 * verdict.accuracy:.2f} %"
        assert agreement == f"{100 * verdict.agreement:.2f} %"
        assert drop.startswith(f"{verdict.accuracy_drop_pp:+.2f} (")
        assert drop.endswith(f"to {verdict.drop_upper95_pp:+.2f})")
        p50, pytorch = float(latency.split()[0]), float(cells[0][5].split()[0])
        assert abs(float(ratio) - p50 / pytorch) < 0.01
    assert "n = 599 (digits) test images" in conditions
    assert "10 calls each (2 rounds of 5" in conditions
    assert conditions.endswith(f"Command: `python {' '.join(arguments)}`")
