"""Latency of exported files beside the PyTorch model, all in one run; without torch or the run, of the files alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge.foreign import FORMAT as FOREIGN
from lenet_edge.runs import Run
from lenet_edge_exporters import FORMATS, open_file
from lenet_edge_exporters.formats import size_of
from lenet_edge_exporters.job import LoadedModel
from lenet_edge_runtime import Classifier
from lenet_edge_runtime.errors import GateError, ModelFileError
from lenet_edge_runtime.foreign import ForeignClassifier, time_calls
from lenet_edge_runtime.host import describe_host
from lenet_edge_runtime.latency import Opener, Timing, measure
from lenet_edge_runtime.proof import KNOWN_ANSWERS, KnownAnswers

PACKAGES = ("lenet-edge", "torch", "onnxruntime", "numpy")
PYTORCH = "pytorch"


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
    relative_to_pytorch: float | None  # p50 as a share of PyTorch's in this run: 0.1 is ten times faster
    bytes: int
    path: str
    calls: int


def bench(
    files: list[Path],
    run: Run | None,
    pixels: NDArray[np.uint8],
    *,
    batches: list[int],
    threads: list[int],
    plan: BenchPlan,
) -> list[BenchRow]:
    """Time PyTorch eager and every file on the same images, interleaved, with fresh sessions each round.

    `pixels`, uint8 [n, c, h, w], are real images. After the timing all answers are compared on them; raises
    GateError where one differs from PyTorch's by more than its format allows. Without a run there is no PyTorch to
    time (and none is imported); the answers are then compared with those that the files themselves carry.
    """
    named = {str(path): open_file(path)[0] for path in files}
    rows: list[BenchRow] = []
    for thread_count in threads:
        for batch in batches:
            images = np.resize(pixels, (batch, *pixels.shape[1:]))
            openers = {} if run is None else {PYTORCH: _opener(lambda t=thread_count: _run_model(run, t), images)}
            for path in files:
                openers[str(path)] = _opener(lambda p=path, t=thread_count: open_file(p, t)[1], images)
            timings = measure(openers, rounds=plan.rounds, calls=plan.calls, warmup=plan.warmup)
            for name, timing in timings.items():
                size = run.weights_path.stat().st_size if run and name == PYTORCH else size_of(Path(name))
                kind = named.get(name, PYTORCH)
                rows.append(_row(kind, name, batch, thread_count, timing, timings.get(PYTORCH), size))
    if run is None:
        _check_known_answers(files)
    else:
        _check_answers(files, run, pixels)
    return rows


def bench_foreign(
    classifiers: Sequence[ForeignClassifier], *, batches: list[int], threads: list[int], plan: BenchPlan
) -> list[BenchRow]:
    """Time other tools' files on noise, interleaved, each batch size and thread count in one child process."""
    shapes = {classifier.spec.pixel_shape for classifier in classifiers}
    if len(shapes) > 1:
        raise ModelFileError(f"the files take images of different shapes, {sorted(shapes)}: time them one by one")
    rows = []
    for thread_count in threads:
        for batch in batches:
            images = np.random.default_rng(0).integers(0, 256, (batch, *shapes.copy().pop()), dtype=np.uint8)
            timings = time_calls(
                classifiers, images, threads=thread_count, rounds=plan.rounds, calls=plan.calls, warmup=plan.warmup
            )
            for classifier, timing in zip(classifiers, timings, strict=True):
                size = classifier.path.stat().st_size
                rows.append(_row(FOREIGN, str(classifier.path), batch, thread_count, timing, None, size))
    return rows


def known_images(files: list[Path]) -> NDArray[np.uint8]:
    """Real images to time files with where their data is not here: those of a file's known answers.

    Raises ModelFileError where no file has any.
    """
    for path in files:
        answers = open_file(path)[1].metadata.get(KNOWN_ANSWERS)
        if answers is not None:
            return KnownAnswers.from_json(answers).pixels
    raise ModelFileError(f"{files[0]} carries no images to time it with, and its run is not here; name that by --run")


def describe_bench_host() -> dict[str, Any]:
    """The host with the versions that matter here, and how the models were called."""
    return {
        **describe_host(PACKAGES),
        "api": "session.run (onnxruntime), module call in inference_mode (torch)",
    }


def _run_model(run: Run, threads: int = 1) -> LoadedModel:
    from lenet_edge.reference import run_model  # imports torch, which a base install has not

    return run_model(run, threads)


def _opener(load: Any, images: NDArray[np.uint8]) -> Opener:
    return lambda: load().bind(images)


def _row(
    kind: str, name: str, batch: int, threads: int, timing: Timing, baseline: Timing | None, size: int
) -> BenchRow:
    return BenchRow(
        backend="onnxruntime" if kind == FOREIGN else FORMATS[kind].backend if kind in FORMATS else kind,
        format=kind,
        batch=batch,
        threads=threads,
        p50_us=timing.p50_us,
        p90_us=timing.p90_us,
        p99_us=timing.p99_us,
        p50_ci95_us=timing.p50_ci95_us,
        images_per_second=batch / timing.p50_us * 1e6,
        relative_to_pytorch=timing.p50_us / baseline.p50_us if baseline else None,
        bytes=size,
        path=name,
        calls=timing.calls,
    )


def _check_answers(files: list[Path], run: Run, pixels: NDArray[np.uint8]) -> None:
    reference = _run_model(run).logits(pixels).argmax(1)
    for path in files:
        name, model = open_file(path)
        agreement = _agreement(model, pixels, reference)
        if agreement < FORMATS[name].min_agreement:
            raise GateError(
                f"{path} gives PyTorch's class for only {agreement:.2%} of {len(pixels)} images (at least "
                f"{FORMATS[name].min_agreement:.1%}): its timing means nothing; export it again"
            )


def _check_known_answers(files: list[Path]) -> None:
    """Raise GateError for a file that does not prove itself; formats without known answers prove nothing."""
    for path in files:
        model = open_file(path)[1]
        if isinstance(model, Classifier) and KNOWN_ANSWERS in model.metadata and not model.prove().passed:
            raise GateError(f"{path} does not prove itself: its timing means nothing; see 'lenet-edge verify {path}'")


def _agreement(model: LoadedModel, pixels: NDArray[np.uint8], reference: NDArray[np.int64]) -> float:
    return float((model.logits(pixels).argmax(1) == reference).mean())
