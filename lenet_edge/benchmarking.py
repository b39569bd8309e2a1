"""Latency of exported files beside the PyTorch model, all in one run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge.reference import run_model
from lenet_edge.runs import Run
from lenet_edge_exporters import FORMATS, open_file
from lenet_edge_exporters.job import LoadedModel
from lenet_edge_runtime.errors import GateError
from lenet_edge_runtime.host import describe_host
from lenet_edge_runtime.latency import Opener, Timing, measure

PACKAGES = ("lenet-edge", "torch", "onnxruntime", "numpy")


@dataclass(frozen=True)
class BenchPlan:
    """How much is measured: enough calls in all that a p99 means something."""

    rounds: int = 10
    calls: int = 100
    warmup: int = 20


@dataclass(frozen=True)
class BenchRow:
    """Latency of one model at one batch size and thread count; times in microseconds a call, not an image."""

    backend: str
    format: str
    batch: int
    threads: int
    p50_us: float
    p90_us: float
    p99_us: float | None
    p50_ci95_us: tuple[float, float]
    images_per_second: float
    relative_to_pytorch: float  # p50 as a share of PyTorch's in this run: 0.1 is ten times faster
    bytes: int
    path: str
    calls: int


def bench(
    files: list[Path],
    run: Run,
    pixels: NDArray[np.uint8],
    *,
    batches: list[int],
    threads: list[int],
    plan: BenchPlan,
) -> list[BenchRow]:
    """Time PyTorch eager and every file on the same images, interleaved, with fresh sessions each round.

    `pixels`, uint8 [n, c, h, w], are real images. After the timing all answers are compared on them; raises
    GateError where one differs from PyTorch's by more than its format allows.
    """
    named = {str(path): open_file(path)[0] for path in files}
    rows: list[BenchRow] = []
    for thread_count in threads:
        for batch in batches:
            images = np.resize(pixels, (batch, *pixels.shape[1:]))
            openers = {"pytorch": _opener(lambda t=thread_count: run_model(run, t), images)}
            for path in files:
                openers[str(path)] = _opener(lambda p=path, t=thread_count: open_file(p, t)[1], images)
            timings = measure(openers, rounds=plan.rounds, calls=plan.calls, warmup=plan.warmup)
            for name, timing in timings.items():
                size = run.weights_path.stat().st_size if name == "pytorch" else Path(name).stat().st_size
                kind = named.get(name, "pytorch")
                rows.append(_row(kind, name, batch, thread_count, timing, timings["pytorch"], size))
    _check_answers(files, run, pixels)
    return rows


def describe_bench_host() -> dict[str, Any]:
    """The host with the versions that matter here, and how the models were called."""
    return {
        **describe_host(PACKAGES),
        "api": "session.run (onnxruntime), module call in inference_mode (torch)",
    }


def _opener(load: Any, images: NDArray[np.uint8]) -> Opener:
    return lambda: load().bind(images)


def _row(kind: str, name: str, batch: int, threads: int, timing: Timing, baseline: Timing, size: int) -> BenchRow:
    return BenchRow(
        backend=FORMATS[kind].backend if kind in FORMATS else kind,
        format=kind,
        batch=batch,
        threads=threads,
        p50_us=timing.p50_us,
        p90_us=timing.p90_us,
        p99_us=timing.p99_us,
        p50_ci95_us=timing.p50_ci95_us,
        images_per_second=batch / timing.p50_us * 1e6,
        relative_to_pytorch=timing.p50_us / baseline.p50_us,
        bytes=size,
        path=name,
        calls=timing.calls,
    )


def _check_answers(files: list[Path], run: Run, pixels: NDArray[np.uint8]) -> None:
    reference = run_model(run).logits(pixels).argmax(1)
    for path in files:
        name, model = open_file(path)
        agreement = _agreement(model, pixels, reference)
        if agreement < FORMATS[name].min_agreement:
            raise GateError(
                f"{path} gives PyTorch's class for only {agreement:.2%} of {len(pixels)} images (at least "
                f"{FORMATS[name].min_agreement:.1%}): its timing means nothing; export it again"
            )


def _agreement(model: LoadedModel, pixels: NDArray[np.uint8], reference: NDArray[np.int64]) -> float:
    return float((model.logits(pixels).argmax(1) == reference).mean())
