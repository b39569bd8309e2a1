"""Integer steps as C: a class here for each kind there, and neighbours fused where one kernel does both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.c.convolution import Average, Convolution
from lenet_edge_exporters.c.dense import Dense
from lenet_edge_exporters.c.grouped_convolution import GroupedConvolution
from lenet_edge_exporters.c.joining import Addition, Concatenation
from lenet_edge_exporters.c.lookup import Decode, Lookup
from lenet_edge_exporters.c.planes import Interleave, OneMore
from lenet_edge_exporters.c.pooling import AveragePool, GlobalAverage, MaxPool
from lenet_edge_exporters.c.structures import Step
from lenet_edge_exporters.integer_program import convolution, dense, joining, lookup, planes, pooling, program
from lenet_edge_exporters.integer_program.program import Operation

# What computes each step: a class that extends it, and takes its fields.
STEPS: dict[type, Callable[..., Step]] = {
    planes.Interleave: Interleave,
    convolution.Convolution: Convolution,
    pooling.MaxPool: MaxPool,
    pooling.AveragePool: AveragePool,
    pooling.GlobalAverage: GlobalAverage,
    convolution.GroupedConvolution: GroupedConvolution,
    joining.Addition: Addition,
    joining.Concatenation: Concatenation,
    planes.OneMore: OneMore,
    lookup.Lookup: Lookup,
    lookup.Decode: Decode,
    dense.Dense: Dense,
}


def lower(operations: Sequence[Operation[program.Step]]) -> list[Operation[Step]]:
    """The calls of C that compute these steps."""
    return _fused(
        [Operation(STEPS[type(item.step)](**vars(item.step)), item.sources, item.target) for item in operations]
    )


def _fused(operations: Sequence[Operation[Step]]) -> list[Operation[Step]]:
    """Steps with tables and 2 x 2 pooling inside the layer before them, if nothing else reads what that gives."""
    readers = Counter(value for item in operations for value in item.sources)
    fused: list[Operation[Step]] = []
    for item in operations:
        before = fused[-1] if fused and item.sources == (fused[-1].target,) and readers[fused[-1].target] == 1 else None
        together = _together(before.step, item.step) if before else None
        if before is None or together is None:
            fused.append(item)
        else:
            fused[-1] = Operation(together, before.sources, item.target)
    return fused


def _together(first: Step, second: Step) -> Step | None:
    """One step that does both, or None."""
    if isinstance(first, Dense | GroupedConvolution) and isinstance(second, Lookup):
        return replace(first, table=_composed(first.table, second.table))
    if not isinstance(first, Convolution) or first.pooled:
        return None
    if isinstance(second, Lookup):
        return replace(first, table=_composed(first.table, second.table))
    rising = first.table is None or bool((np.diff(first.table.astype(int)) >= 0).all())
    if isinstance(second, MaxPool) and second.window.is_2x2 and rising:
        return replace(first, max_2x2=True)
    if isinstance(second, AveragePool) and second.window.is_2x2:
        return replace(first, average=Average(second.values, second.scale, second.zero_point))
    return None


def _composed(first: NDArray[np.uint8] | None, second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One table that does what two do in turn."""
    return second if first is None else second[first]
