"""A Cortex-M4 for the C export: compiled for by arm-none-eabi-gcc, emulated by QEMU as Arm's MPS2 board AN386.

The emulator's clock advances by one step an instruction, so a timer of the board counts instructions; a loop of known
length says how many make a tick. A Cortex-M4 takes one cycle for most of them and more for some: an estimate of its
cycles, from below. The stack is painted beforehand, and what lost its paint was used.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.c import naming, toolchain
from lenet_edge_exporters.c.toolchain import CompilerError
from lenet_edge_runtime.errors import GateError, LenetEdgeError
from lenet_edge_runtime.proof import KnownAnswers

COMPILER = "arm-none-eabi-gcc"
EMULATOR = "qemu-system-arm"
MISSING = f"{COMPILER} and {EMULATOR} are not both installed"
MACHINE = "mps2-an386"
BOARD = Path(__file__).parent / "board"  # start-up code, linker script, memcpy and memset
HEADERS = BOARD.parent / "templates"  # string.h, for compilers that come without a C library
CORTEX_M4 = ("-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
# The board AN547, which has less memory.
CORTEX_M55 = ("-mcpu=cortex-m55", "-mfloat-abi=hard", "-Wl,--defsym=memory_size=512K")
BARE = ("-mthumb", "-ffreestanding", "-isystem", str(HEADERS))
LOOP = 2_000_000  # instructions of the loop in count.c
MACS = 10_000_000  # are emulated in less than a second: all known answers of a LeNet


class NotCountedError(LenetEdgeError):
    """There is no count of instructions; the message says why."""


@dataclass(frozen=True)
class OnCortexM4:
    """Bytes of flash (constants and code); of one inference instructions, and bytes of stack below the caller's.

    The last two are None where nothing counted them, and `not_counted` says why.
    """

    flash_bytes: int
    instructions: int | None = None
    stack_bytes: int | None = None
    not_counted: str | None = None


def measure(folder: Path, answers: KnownAnswers, macs: int, level: str = "-Os") -> OnCortexM4:
    """Compile an exported folder's network for a Cortex-M4 and replay known answers of its own on an emulated one.

    Raises CompilerError where it does not compile, and GateError where a logit differs by a bit.
    """
    name, images = naming.name_in(folder), max(1, min(len(answers.pixels), MACS // max(macs, 1)))
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        options = [*CORTEX_M4, level, "-I", str(folder), "-I", temporary]
        network = toolchain.compile_c([folder / f"{name}.c"], place / "network.o", [*options, *BARE, "-c"], [COMPILER])
        flash = toolchain.loaded_bytes(network.read_bytes())
        counting = naming.in_namespace((BOARD / "count.c").read_text(encoding="utf-8"), name)
        (place / "count.c").write_text(counting, encoding="utf-8")
        (place / "images.h").write_text(c_images(answers.pixels[:images]), encoding="utf-8")
        try:
            counts, logits, stack = _count(network, options)
        except NotCountedError as why:
            return OnCortexM4(flash, not_counted=str(why))
    if not np.array_equal(logits, answers.logits[:images]):
        raise GateError(f"{folder.name}: on an emulated Cortex-M4 its C gives other logits than onnxruntime")
    return OnCortexM4(flash, round(float(np.mean(counts))), stack)


def build_name(level: str = "-Os") -> str:
    """What compiles for the board: compiler, version, level and processor."""
    asked = subprocess.run([COMPILER, "-dumpfullversion"], capture_output=True, text=True, check=True)
    return f"{COMPILER} {asked.stdout.strip()} {level} for Cortex-M4"


def c_images(pixels: NDArray[np.uint8]) -> str:
    """Images as C: their number IMAGES, and `images` with all of their bytes."""
    codes = ", ".join(map(str, pixels.reshape(-1).tolist()))
    return f"enum {{ IMAGES = {len(pixels)} }};\nstatic const uint8_t images[] = {{{codes}}};\n"


def _count(network: Path, options: Sequence[str]) -> tuple[list[float], NDArray[np.float32], int]:
    """Instructions and logits of each image of images.h, and bytes of stack, of a network that is compiled already.

    Its `count.c` lies beside it.
    """
    if not shutil.which(EMULATOR):
        raise NotCountedError(MISSING)
    try:
        image = build([network, network.with_name("count.c")], network.with_name("count.elf"), options)
        printed = run(image, network.parent, ["-icount", "shift=0"])  # one step of the clock an instruction
    except (CompilerError, subprocess.SubprocessError) as error:  # too large for the board, or too slow on it
        raise NotCountedError(str(error)) from None
    (known,), *images, (stack,) = [[int(word) for word in line.split()] for line in printed.splitlines()]
    logits = np.array([bits for _, *bits in images], np.uint32).view(np.float32)
    return [LOOP / known * ticks for ticks, *_ in images], logits, stack


def build(sources: Sequence[Path], output: Path, options: Sequence[str]) -> Path:
    """Link a program with the board's start-up code; its `main` and all that it calls stand in `sources`."""
    everything = [*sources, BOARD / "board.c", BOARD / "memory.c"]
    bare = [*BARE, "-nostdlib", "-I", str(BOARD), "-T", str(BOARD / "board.ld")]
    return toolchain.compile_c(everything, output, [*options, *bare], [COMPILER], libraries=["-lgcc"])


def run(image: Path, folder: Path, options: Sequence[str] = (), machine: str = MACHINE, seconds: float = 60) -> str:
    """What a program prints that runs on a board, in `folder`.

    Raises subprocess.SubprocessError where its `main` does not return 0, or takes longer.
    """
    console = ["-nographic", "-monitor", "none", "-serial", "none", "-semihosting-config", "enable=on,target=native"]
    command = [EMULATOR, "-machine", machine, *options, *console, "-kernel", str(image)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=seconds)
    return done.stdout + done.stderr
