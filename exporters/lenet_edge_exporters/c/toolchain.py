"""The C compiler at hand: the checks of the C export build what was written and run it."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lenet_edge_runtime.errors import LenetEdgeError

COMPILERS = ("cc", "gcc", "clang")
STANDARD = ("-std=c99", "-ffp-contract=off")


class CompilerError(LenetEdgeError):
    """No C compiler, or one that refuses what was exported."""


def find_compiler() -> list[str]:
    """The command of a C compiler: $CC, cc, gcc, clang, or the one inside the ziglang package."""
    if named := os.environ.get("CC"):
        return shlex.split(named)
    for name in COMPILERS:
        if found := shutil.which(name):
            return [found]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    raise CompilerError(
        "found no C compiler to check the C export with ($CC, cc, gcc, clang); install one, or: pip install ziglang"
    )


def find_wasm_compiler() -> list[str]:
    """The command that compiles C to WebAssembly: clang with lld, or the one inside the ziglang package."""
    clang = shutil.which("clang")
    if clang and shutil.which("wasm-ld"):
        return [clang, "--target=wasm32"]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding"]
    raise CompilerError(
        "found nothing that compiles C to WebAssembly (clang with lld, or ziglang); try: pip install ziglang"
    )


def compile_c(
    sources: Sequence[Path],
    output: Path,
    options: Sequence[str],
    compiler: Sequence[str] = (),
    libraries: Sequence[str] = (),
) -> Path:
    """Compile and return `output`; raises CompilerError with the first complaint of the compiler or the linker."""
    command = [*(compiler or find_compiler()), *STANDARD, *options, *map(str, sources), *libraries, "-o", str(output)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CompilerError(f"{command[0]} cannot be run ({error.strerror}); name a C compiler by $CC") from None
    if done.returncode:
        complaints = (line for line in done.stderr.splitlines() if "error" in line or "overflowed" in line)
        said = next(complaints, done.stderr.strip())
        raise CompilerError(f"{command[0]} does not compile {sources[0].name}: {said}")
    return output


def compile_wasm(folder: Path, output: Path) -> Path:
    """Compile a folder's lenet.c and lenet_wasm.c to a WebAssembly module."""
    options = ["-O2", "-msimd128", "-mbulk-memory", "-ffreestanding", "-nostdlib", "-isystem", str(folder)]
    linking = ["-Wl,--no-entry", "-Wl,--strip-all"]
    return compile_c([folder / "lenet.c", folder / "lenet_wasm.c"], output, [*options, *linking], find_wasm_compiler())


def loaded_bytes(content: bytes) -> int:
    """Bytes of an ELF object that are loaded, but for tables that unwind the stack: what stands in flash.

    The format: System V Application Binary Interface, chapter 4, for 32 and 64 bits, little-endian.
    """
    wide = content[4] == 2
    start = struct.unpack_from("<Q", content, 40)[0] if wide else struct.unpack_from("<I", content, 32)[0]
    size, count, names = struct.unpack_from("<HHH", content, 58 if wide else 46)
    layout = "<IIQQQQ" if wide else "<IIIIII"  # name, type, flags, address, offset, size
    sections = [struct.unpack_from(layout, content, start + i * size) for i in range(count)]
    strings = sections[names][4]
    total = 0
    for name, _, flags, _, _, length in sections:
        end = content.index(b"\0", strings + name)
        if flags & 2 and not content[strings + name : end].startswith((b".eh_frame", b".ARM.ex", b".note")):
            total += length
    return total
