"""The C text of a chain of steps: kernels, constants, and one function that calls them in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from lenet_edge_exporters.c.constants import Constants
from lenet_edge_exporters.c.naming import in_namespace
from lenet_edge_exporters.c.structures import Step
from lenet_edge_exporters.integer_program.program import PIXELS, Operation

KERNELS = (
    "prelude", "dot", "requantize", "dot4", "interleave", "one_more", "convolution", "grouped_convolution", "max_pool",
    "average_pool", "global_average", "lookup", "add", "concatenate", "dense", "dense_codes", "dense_logits", "decode",
)  # fmt: skip


@dataclass(frozen=True)
class Program:
    """The body of the network's source and what it needs: scratch, constants (bytes), multiplications for one image."""

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


# A linker keeps what is read, and whoever has the firmware finds out what it holds.
IDENTITY = "    (void)*(const volatile char *)lenet_identity; /* one load: the linker keeps it */\n"


def emit(operations: Sequence[Operation[Step]], name: str) -> Program:
    """Kernels, constants and the function that predicts, in the namespace of the network called `name`."""
    constants = Constants()
    structures, calls = [], []
    places, activations = arena(operations)
    names = {value: f"scratch->activations + {at}" if at else "scratch->activations" for value, at in places.items()}
    names |= {PIXELS: "pixels", operations[-1].target: "logits"}
    steps = [operation.step for operation in operations]
    for number, operation in enumerate(operations, 1):
        layer = f"layer{number}"
        structures.append(operation.step.declare(layer, constants))
        source = ", ".join(names[value] for value in operation.sources)
        calls.append(f"    {operation.step.call(layer, source, names[operation.target])}\n")
    needed = {"prelude", *(kernel for step in steps for kernel in step.kernels)}
    body = "\n".join(
        [
            *(read_kernel(kernel) for kernel in KERNELS if kernel in needed),
            "/* ---------------------------------------------------------------- the network */\n",
            *constants.texts,
            *structures,
            "void lenet_predict(const uint8_t *pixels, float *logits, lenet_scratch *scratch)\n{\n"
            + IDENTITY
            + "".join(calls)
            + "}\n",
        ]
    )
    macs = sum(step.macs for step in steps)
    work, sha256 = max(step.work for step in steps), constants.digest.hexdigest()
    return Program(in_namespace(body, name), work, activations, constants.bytes, macs, sha256)


def arena(operations: Sequence[Operation[Step]]) -> tuple[dict[int, int], int]:
    """Where each value's buffer begins, and how many bytes hold all of them; pixels and logits lie elsewhere.

    Two values share bytes if no step needs both. The largest are placed first, each as low as it may lie.
    """
    sizes = {item.target: item.step.output_size for item in operations[:-1]}
    made = {item.target: number for number, item in enumerate(operations)}
    last = {value: number for number, item in enumerate(operations) for value in item.sources}
    places: dict[int, int] = {}
    for value in sorted(sizes, key=lambda value: -sizes[value]):
        together = [
            other
            for other in places
            if made[other] <= last.get(value, made[value]) and made[value] <= last.get(other, made[other])
        ]
        places[value] = _lowest(sizes[value], sorted((places[other], sizes[other]) for other in together))
    return places, max((places[value] + sizes[value] for value in places), default=0)


def _lowest(size: int, taken: Sequence[tuple[int, int]]) -> int:
    """The lowest place for `size` bytes beside those taken, (place, size) each, in order."""
    place = 0
    for start, length in taken:
        if place + size <= start:
            break
        place = max(place, start + length)
    return place


def read_kernel(name: str) -> str:
    """The text of a file of C in this package."""
    return resources.files(__package__).joinpath("kernels", f"{name}.c").read_text(encoding="utf-8")
