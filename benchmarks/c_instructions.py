"""The C export's instructions on ARM processors, and the cycles of a Cortex-M4, from traces of emulators.

    python benchmarks/c_instructions.py runs/lenet5-mnist-1 [-O2]

QEMU executes one instruction at a time and writes where each stands, while the network of a run answers one test image;
its logits have to be those of the int8 ONNX file. Time on a real processor is another matter: an instruction of a large
one takes less than a cycle, or many. Needs arm-none-eabi-gcc, qemu-system-arm, clang, ld.lld and qemu-aarch64.
"""

import argparse
import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lenet_edge.artefacts.exporting import export_job
from lenet_edge.runs.finding import find_run
from lenet_edge_exporters import FORMATS, int8
from lenet_edge_exporters.atomic import write_folder
from lenet_edge_exporters.c import emulation, toolchain
from lenet_edge_runtime.sessions import open_session

FIRMWARE = Path(__file__).parents[1] / "tests" / "firmware"
TRACE = ("-singlestep", "-d", "exec,nochain", "-D", "trace.txt")
AROUND = frozenset({"_start", "reset", "main", "board_ask"})  # functions that read images and write logits
AARCH64 = ("--target=aarch64-linux-gnu", "-ffreestanding", "-nostdlib", "-static", "-fuse-ld=lld")
Steps = Counter[tuple[int, int]]  # how often an address was executed before another


@dataclass(frozen=True)
class Processor:
    """Compiler options, and QEMU's name of the board; or of the processor, for programs of Linux."""

    options: tuple[str, ...]
    board: str = ""
    linux: str = ""


PROCESSORS = {
    "Cortex-M0": Processor(("-mcpu=cortex-m0",), "mps2-an385"),
    "Cortex-M3": Processor(("-mcpu=cortex-m3",), "mps2-an385"),
    "Cortex-M4": Processor(emulation.CORTEX_M4, "mps2-an386"),
    "Cortex-M55, DSP": Processor((*emulation.CORTEX_M55, "-mcpu=cortex-m55+nomve"), "mps3-an547"),
    "Cortex-M55, Helium": Processor(emulation.CORTEX_M55, "mps3-an547"),
    "Cortex-A53, NEON": Processor(("-mcpu=cortex-a53",), linux="cortex-a53"),
    "Cortex-A76, dot product": Processor(("-mcpu=cortex-a76",), linux="cortex-a76"),
    "8-bit matrices": Processor(("-march=armv8.6-a",), linux="max"),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Instructions of the C export on ARM processors, as Markdown.")
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("--data-dir", type=Path, help="folder with the data, as for lenet-edge verify")
    arguments, levels = parser.parse_known_args()
    opened = find_run(arguments.run, data_dir=arguments.data_dir)
    job, pixels = export_job(opened), opened.data.test_pixels[:1]
    print("| processor | build | instructions | cycles |\n| --- | --- | ---: | ---: |")
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        write_folder(place / "net-c", FORMATS["c"].export(job))
        (place / "net.onnx").write_bytes(int8.export(job))
        expected = open_session(place / "net.onnx").run(["logits"], {"pixels": pixels})[0]
        for name, processor in PROCESSORS.items():
            for level in levels or ["-O2"]:
                program = build(place, processor, level)
                found = answer(place, program, processor, pixels)
                assert np.array_equal(found, expected[0]), f"{name} gives other logits than int8 ONNX"
                steps = read_trace(place / "trace.txt")
                cycles = "{:,} to {:,}".format(*m4_cycles(steps, program)) if name == "Cortex-M4" else ""
                print(f"| {name} | {compiler_of(processor)} {level} | {steps.total():,} | {cycles} |")


def compiler_of(processor: Processor) -> str:
    return emulation.COMPILER if processor.board else "clang"


def build(place: Path, processor: Processor, level: str) -> Path:
    """A program that reads images and writes logits."""
    options = [*processor.options, level, "-I", str(place / "net-c")]
    sources = [place / "net-c" / "lenet.c", FIRMWARE / ("files.c" if processor.board else "linux.c")]
    if processor.board:
        return emulation.build(sources, place / "program", options)
    everything = [*sources, emulation.BOARD / "memory.c"]
    bare = [*AARCH64, "-isystem", str(emulation.HEADERS)]
    return toolchain.compile_c(everything, place / "program", [*bare, *options], ["clang"])


def answer(place: Path, program: Path, processor: Processor, pixels: np.ndarray) -> np.ndarray:
    """The logits of one image, float32; the emulator's trace lies in `place` then."""
    if processor.board:
        pixels.tofile(place / "images.bin")
        emulation.run(program, place, TRACE, processor.board, 600)
        return np.fromfile(place / "logits.bin", "<f4")
    command = ["qemu-aarch64", "-cpu", processor.linux, *TRACE, str(program)]
    done = subprocess.run(command, cwd=place, input=pixels.tobytes(), capture_output=True, check=True)
    return np.frombuffer(done.stdout, "<f4")


def read_trace(path: Path) -> Steps:
    """What was executed of the network, and of what it calls."""
    steps: Steps = Counter()
    before = None
    with path.open(encoding="ascii") as lines:
        for line in lines:
            if not line.startswith("Trace"):
                continue
            now = int(line.split("/")[1], 16)
            if before is not None:
                steps[before, now] += 1
            before = None if line.split()[-1] in AROUND else now
    return steps


def m4_cycles(steps: Steps, program: Path) -> tuple[int, int]:
    """The fewest and the most cycles that a Cortex-M4 takes, with memory that never makes it wait.

    Arm, Cortex-M4 Technical Reference Manual (DDI 0439), 3.3: a load takes two, or one before another load or store;
    several registers one more than there are; a division 2 to 12, of floats 14; a branch that is taken 1 to 3 more; all
    else one.
    """
    code = disassembled(program)
    low = high = 0
    for (here, there), times in steps.items():
        size, name, operands = code[here]
        fewest = most = 1
        if re.match(r"(v?ldm|v?stm|v?push|v?pop|ldrd|strd)", name):
            fewest = most = 1 + registers(name, operands)
        elif re.match(r"v?ldr", name):
            fewest, most = (1 if re.match(r"v?(ldr|str)", code[there][1]) else 2), 2
        elif name.startswith(("sdiv", "udiv")):
            fewest, most = 2, 12
        elif name.startswith(("vdiv", "vsqrt")):
            fewest = most = 14
        if there != here + size:
            fewest, most = fewest + 1, most + 3
        low, high = low + times * fewest, high + times * most
    return low, high


def registers(name: str, operands: str) -> int:
    """How many registers an instruction loads or stores."""
    if name.startswith(("ldrd", "strd")):
        return 2
    count = 0
    for part in operands[operands.index("{") + 1 : operands.index("}")].split(","):
        first, _, last = part.strip().partition("-")
        count += 1 + (int(last[1:]) - int(first[1:]) if last else 0)
    return count


def disassembled(program: Path) -> dict[int, tuple[int, str, str]]:
    """Bytes, name and operands of the instruction at every address."""
    command = ["arm-none-eabi-objdump", "-d", str(program)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^ *([0-9a-f]+):\t([0-9a-f ]+?) *\t(\S+)(.*)$", text, re.MULTILINE)
    return {int(at, 16): (len(code.replace(" ", "")) // 2, name, rest) for at, code, name, rest in found}


if __name__ == "__main__":
    main()
