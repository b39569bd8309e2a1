"""C99 without a heap or a library, for microcontrollers and native apps: the int8 network, bit for bit.

The quantized graph is read into a chain of steps (`integer_program`), each of which is one kernel's call (`lowering`,
`kernels/`); what is not in the table of operators there is refused by name. Semantics are onnxruntime's: 8-bit codes,
exact 32-bit sums, one multiplication in float32, rounding half to even.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lenet_edge_exporters.c import emulation, folder, naming, toolchain
from lenet_edge_exporters.c.emulation import OnCortexM4
from lenet_edge_exporters.export_job import ExportJob, LoadedModel
from lenet_edge_runtime import metadata, proof
from lenet_edge_runtime.errors import GateError, ModelFileError
from lenet_edge_runtime.shared_library import SharedLibrary


def export(job: ExportJob) -> dict[str, bytes]:
    """The files of the folder by name, the same bytes for the same network."""
    return folder.render(job, folder.build(job))


def load(path: Path, threads: int = 1) -> LoadedModel:
    """Build the folder's shared library for this machine, open it and replay its known answers.

    Raises ModelFileError for another folder, CompilerError where nothing compiles it, and GateError where an answer
    differs by a bit. It runs on one thread, whatever `threads`.
    """
    del threads
    name = naming.name_in(path)
    if not (path / f"{name}.c").is_file():
        raise ModelFileError(f"{path} is no folder of the C export: it has no {name}.c")
    with tempfile.TemporaryDirectory() as temporary:
        sources = [path / f"{name}.c", path / f"{name}_metadata.c"]
        options = ["-O3", "-march=native", "-fPIC", "-shared"]
        model = SharedLibrary(toolchain.compile_c(sources, Path(temporary) / f"{name}.so", options))
    answers = proof.known_answers(model.metadata, str(path))
    if not np.array_equal(model.logits(answers.pixels), answers.logits):
        raise GateError(
            f"{path}: compiled here, its C gives other logits than onnxruntime; report it with its {name}.c"
        )
    return model


def footprint(path: Path, model: LoadedModel) -> Mapping[str, Any]:
    """What one inference takes: multiplications, bytes of scratch and of flash (constants, and code by -Os), and more.

    `flash_build` says what compiled it: arm-none-eabi-gcc for a Cortex-M4 where it is installed, else this machine's
    compiler for this machine. Where qemu-system-arm is there too, `cortex_m4_instructions` is an estimate of the cycles
    on a Cortex-M4, from below, and `stack_bytes` is what a prediction takes of the stack; elsewhere both are None, and
    `not_counted` says why. Raises GateError where the emulated processor gives other logits than onnxruntime.
    """
    stated = {key: metadata.read(model.metadata, key, metadata.whole(0)) for key in folder.MEASURES}
    if shutil.which(emulation.COMPILER):
        answers = proof.known_answers(model.metadata, str(path))
        build, found = emulation.build_name(), emulation.measure(path, answers, stated["macs"])
    else:
        build, found = "-Os for this machine", OnCortexM4(_flash_here(path), not_counted=emulation.MISSING)
    return {
        **stated,
        "flash_bytes": found.flash_bytes,
        "flash_build": build,
        "stack_bytes": found.stack_bytes,
        "cortex_m4_instructions": found.instructions,
        "not_counted": found.not_counted,
    }


def _flash_here(path: Path) -> int:
    with tempfile.TemporaryDirectory() as temporary:
        compiled = toolchain.compile_c(
            [path / f"{naming.name_in(path)}.c"], Path(temporary) / "network.o", ["-Os", "-c"]
        )
        return toolchain.loaded_bytes(compiled.read_bytes())
