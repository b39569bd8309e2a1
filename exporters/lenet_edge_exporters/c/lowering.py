"""Integer steps as C: a class here for each kind there, and neighbours fused where one kernel does both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.c.convolution import Average, Convolution
from lenet_edge_exporters.c.dense import Dense
from lenet_edge_exporters.c.lookup import Lookup
from lenet_edge_exporters.c.planes import Interleave
from lenet_edge_exporters.c.pooling import AveragePool, MaxPool
from lenet_edge_exporters.c.structures import Step
from lenet_edge_exporters.integer_program import convolution, dense, lookup, planes, pooling, program

# What computes each step: a class that extends it, and takes its fields.
STEPS: dict[type, Callable[..., Step]] = {
    planes.Interleave: Interleave,
    convolution.Convolution: Convolution,
    pooling.MaxPool: MaxPool,
    pooling.AveragePool: AveragePool,
    lookup.Lookup: Lookup,
    dense.Dense: Dense,
}


def lower(steps: Sequence[program.Step]) -> list[Step]:
    """The calls of C that compute these steps."""
    return _fused([STEPS[type(step)](**vars(step)) for step in steps])


def _fused(steps: list[Step]) -> list[Step]:
    """Steps with tables and 2 x 2 pooling inside the layer before them."""
    fused: list[Step] = []
    for step in steps:
        together = _together(fused[-1], step) if fused else None
        if together is None:
            fused.append(step)
        else:
            fused[-1] = together
    return fused


def _together(first: Step, second: Step) -> Step | None:
    """One step that does both, or None."""
    if isinstance(first, Dense) and isinstance(second, Lookup):
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
