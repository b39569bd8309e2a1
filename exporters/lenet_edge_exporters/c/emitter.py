"""The C text of a chain of steps: kernels, constants, and one function that calls them in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from lenet_edge_exporters.c.constants import Constants
from lenet_edge_exporters.c.structures import Step

KERNELS = (
    "prelude", "requantize", "dot", "dot4", "interleave", "convolution", "max_pool", "average_pool", "lookup", "dense",
    "dense_codes", "dense_logits",
)  # fmt: skip


@dataclass(frozen=True)
class Program:
    """The body of lenet.c and what it needs: scratch, constants (bytes) and multiplications for one image."""

    body: str
    work: int  # 16-bit numbers of scratch
    activations: int  # bytes of scratch
    constants: int
    macs: int
    sha256: str  # of the constants

    @property
    def scratch(self) -> int:
        """Bytes of scratch, which begins and ends at whole words."""
        return -(-(2 * self.work + self.activations) // 4) * 4


def emit(steps: Sequence[Step]) -> Program:
    """Kernels, constants and `lenet_predict`."""
    constants = Constants()
    structures, calls = [], []
    places, activations = arena([step.output_size for step in steps[:-1]])
    sources = ["pixels", *(f"scratch->activations + {place}" if place else "scratch->activations" for place in places)]
    targets = [*sources[1:], "logits"]
    for number, (step, source, target) in enumerate(zip(steps, sources, targets, strict=True), 1):
        name = f"layer{number}"
        structures.append(step.declare(name, constants))
        calls.append(f"    {step.call(name, source, target)}\n")
    needed = {"prelude", *(kernel for step in steps for kernel in step.kernels)}
    body = "\n".join(
        [
            *(read_kernel(name) for name in KERNELS if name in needed),
            "/* ---------------------------------------------------------------- the network */\n",
            *constants.texts,
            *structures,
            "void lenet_predict(const uint8_t *pixels, float *logits, lenet_scratch *scratch)\n{\n"
            + "".join(calls)
            + "}\n",
        ]
    )
    macs = sum(step.macs for step in steps)
    return Program(
        body, max(step.work for step in steps), activations, constants.bytes, macs, constants.digest.hexdigest()
    )


def arena(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Where each of a chain's buffers begins, and how many bytes hold all of them.

    Only two neighbours live at a time: one of them stands at the beginning, the other at the end.
    """
    total = max((a + b for a, b in zip([0, *sizes], [*sizes, 0], strict=True)), default=0)
    return [0 if i % 2 == 0 else total - size for i, size in enumerate(sizes)], total


def read_kernel(name: str) -> str:
    """The text of a file of C in this package."""
    return resources.files(__package__).joinpath("kernels", f"{name}.c").read_text(encoding="utf-8")
