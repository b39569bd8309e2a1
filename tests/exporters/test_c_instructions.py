"""Instructions and cycles of the C export from an emulator's trace, against the board's timer and Arm's table."""

import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from export_jobs import make_job
from lenet_edge_exporters import FORMATS
from lenet_edge_exporters.atomic import write_folder
from lenet_edge_exporters.c import emulation, toolchain
from lenet_edge_runtime.proof import KNOWN_ANSWERS, KnownAnswers

ROOT = Path(__file__).parents[2]

# r0 says how often the loop is left open; cycles as in the table of the Cortex-M4's manual.
ASSEMBLY = """
    .syntax unified
    .thumb
    ldr r1, [r0]            @ 2; 1 before another load
    ldr r2, [r0, #4]        @ 2
    mla r3, r1, r2, r3      @ 1
    ldmia r0, {r4-r7, r8}   @ 1 + 5
    sdiv r1, r1, r2         @ 2 to 12
    subs r3, #1             @ 1
    bne.n .-18              @ 1, and 1 to 3 where it is taken
    bx lr                   @ 1, and 1 to 3
"""


@pytest.fixture
def benchmark_script(monkeypatch: pytest.MonkeyPatch) -> Any:
    for tool in (emulation.COMPILER, emulation.EMULATOR):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import c_instructions

    return c_instructions


def test_trace_counts_what_the_timer_of_the_board_counts(benchmark_script: Any, tmp_path: Path) -> None:
    content = FORMATS["c"].export(make_job("lenet5"))
    assert isinstance(content, Mapping)
    write_folder(tmp_path / "net-c", content)
    answers = KnownAnswers.from_json(FORMATS["c"].load(tmp_path / "net-c", 1).metadata[KNOWN_ANSWERS])
    processor = benchmark_script.PROCESSORS["Cortex-M4"]
    program = benchmark_script.build(tmp_path, processor, "-O2")
    found = benchmark_script.answer(tmp_path, program, processor, answers.pixels[:1])
    assert found.tobytes() == answers.logits[0].tobytes()
    steps = benchmark_script.read_trace(tmp_path / "trace.txt")
    timed = emulation.measure(tmp_path / "net-c", answers, 416_520, "-O2").instructions
    assert steps.total() == pytest.approx(timed, rel=1e-3)
    low, high = benchmark_script.m4_cycles(steps, program)
    assert steps.total() < low < high < 3 * steps.total()


def test_cycles_are_those_of_the_processors_manual(benchmark_script: Any, tmp_path: Path) -> None:
    (tmp_path / "loop.S").write_text(ASSEMBLY)
    built = toolchain.compile_c(
        [tmp_path / "loop.S"], tmp_path / "loop.o", ["-mcpu=cortex-m4", "-c"], [emulation.COMPILER]
    )
    code = benchmark_script.disassembled(built)
    *places, end = sorted(code)
    follows = list(zip(places, [*places[1:], end], strict=True))
    back, leave = (places[-1], places[0]), (end, places[0])
    steps = Counter({**dict.fromkeys(follows, 1), leave: 1})
    assert benchmark_script.m4_cycles(steps, built) == (16, 29)
    looped = Counter({**dict.fromkeys(follows[:-1], 2), back: 1, follows[-1]: 1, leave: 1})
    assert benchmark_script.m4_cycles(looped, built) == (31, 57)
