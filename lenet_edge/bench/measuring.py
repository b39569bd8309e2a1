"""Latency of exported files beside the PyTorch model, all in one run; without torch or the run, of the files alone."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lenet_edge import console
from lenet_edge.bench.memory import measure_memory
from lenet_edge.evaluation.foreign_accuracy import FORMAT as FOREIGN
from lenet_edge.runs.exported import PYTORCH, exported_files, run_of
from lenet_edge.runs.finding import find_run
from lenet_edge.runs.run import Run
from lenet_edge_exporters import FORMATS, open_file
from lenet_edge_exporters.export_job import LoadedModel
from lenet_edge_exporters.formats import format_of, read_content, sha256_of, size_of
from lenet_edge_exporters.opening import is_own
from lenet_edge_runtime import Classifier
from lenet_edge_runtime.errors import GateError, ModelFileError
from lenet_edge_runtime.foreign_classifier import ForeignClassifier, time_calls
from lenet_edge_runtime.host import describe_host
from lenet_edge_runtime.io_binding import bind_io
from lenet_edge_runtime.latency import Interval, Opener, Timing, measure, paired_ratio
from lenet_edge_runtime.proof import KNOWN_ANSWERS, KnownAnswers

PACKAGES = ("lenet-edge", "torch", "onnxruntime", "numpy")

Api = Literal["run", "io-binding"]
APIS: tuple[Api, ...] = get_args(Api)


@dataclass(frozen=True)
class BenchPlan:
    """How much is measured: enough calls in all that a p99 means something.

    `api`: how onnxruntime is called, by `session.run` or with input and output bound beforehand. `memory`: whether
    each model is also opened in a process of its own, in the first case that is measured, to see what it takes.
    """

    rounds: int = 10
    calls: int = 100
    warmup: int = 20
    api: Api = "run"
    memory: bool = False


@dataclass(frozen=True, kw_only=True)
class BenchRow(Timing):
    """Latency of one model at one batch size and thread count; times in microseconds a call, not an image.

    `relative_to_pytorch` is the model's latency as a share of PyTorch's in the same rounds: 0.1 is ten times faster.
    The memory is that of a fresh process (`memory.py`); None where it was not measured.
    """

    name: str  # of the file, or "pytorch"
    backend: str
    format: str
    batch: int
    threads: int
    api: str
    images_per_second: float
    relative_to_pytorch: float | None
    relative_ci95: Interval | None
    bytes: int
    sha256: str
    path: str
    memory_load_bytes: int | None = None
    memory_run_bytes: int | None = None
    memory_process_bytes: int | None = None


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
    time (and none is imported); the answers are then compared with those that the files themselves carry. Nor is there
    behind another tool's ONNX file, which runs in a process of its own; the answers are compared with that file's.
    """
    for path in files:
        check_own(path)
    kinds = {str(path): open_file(path)[0] for path in files}
    beside = {} if run is None or run.read().is_foreign else {PYTORCH: run}
    models: dict[str, Path | Run] = beside | {str(path): path for path in files}
    rows: list[BenchRow] = []
    for thread_count in threads:
        for batch in batches:
            images = np.resize(pixels, (batch, *pixels.shape[1:]))
            openers = {name: _opener(model, images, thread_count, plan.api) for name, model in models.items()}
            timings = measure(openers, rounds=plan.rounds, calls=plan.calls, warmup=plan.warmup)
            for name, timing in timings.items():
                model, kind = models[name], kinds.get(name, PYTORCH)
                row = _row(kind, model, (batch, thread_count, plan.api), timing, timings.get(PYTORCH))
                first = len(rows) < len(models)
                rows.append(_with_memory(row, model, images, thread_count) if plan.memory and first else row)
    if run is None:
        _check_known_answers(files)
    else:
        _check_answers(files, run, pixels)
    return rows


def contenders(
    files: Sequence[Path] | None, run: Path | None = None, data_dir: Path | None = None
) -> tuple[Run | None, list[Path], NDArray[np.uint8]]:
    """What `bench` takes: the run beside whose PyTorch model files are timed, the files, and images.

    Without files, all those of the run, or of the latest. The run is None where it is not here or torch is not
    installed; only files that onnxruntime runs are taken then, with the images that they carry.
    """
    for path in files or []:
        check_own(path)
    found = run_of(files[0], data_dir) if files and run is None else find_run(run, data_dir=data_dir)
    chosen = list(files) if files else timeable(_own_files(exported_files(found.run)))  # type: ignore[union-attr]  # find_run found one
    if found is not None and find_spec("torch"):
        if found.record.is_foreign:
            console.say(f"{found.run.folder} is another tool's ONNX file: there is no PyTorch model to time beside it")
        return found.run, chosen, found.data.test_pixels[:1000]
    if not files:
        chosen = [path for path in chosen if format_of(path).backend == "onnxruntime"]
    return None, chosen, known_images(chosen)


def _own_files(files: list[Path]) -> list[Path]:
    """Without the files of others that can carry code; says on stderr which those are."""
    for path in files:
        if not is_own(path):
            console.say(f"left out: {path} can run any code and was not exported on this machine; export it here")
    return [path for path in files if is_own(path)]


def timeable(files: Sequence[Path]) -> list[Path]:
    """Those of exported files that run in this process: a call into another one is no measure of a network."""
    return [path for path in files if format_of(path).backend != "node"]


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
                rows.append(_row(FOREIGN, classifier.path, (batch, thread_count, "run"), timing, None))
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
    """The host with the versions that matter here."""
    return describe_host(PACKAGES)


def check_own(path: Path) -> None:
    """Raise ModelFileError for a file that can carry code and was not exported on this machine."""
    if not is_own(path):
        raise ModelFileError(
            f"{path} was not exported on this machine, and a {format_of(path).name} file can run any code as it is "
            f"opened; bench times such files only where they were exported: export its run here, or, if you trust who "
            f"made it, measure its answers by 'lenet-edge verify {path} --trust'"
        )


def open_call(path: Path, images: NDArray[np.uint8], threads: int, api: Api) -> Callable[[], object]:
    """Open an exported file and return its bare call on `images`; `api` is onnxruntime's, other backends have one.

    Raises ModelFileError for a file that is run in another process.
    """
    check_own(path)
    if not timeable([path]):
        raise ModelFileError(
            f"{path} is run by Node in a process of its own, whose start is all that could be timed here; "
            f"'lenet-edge export {path} --web DIR --engine wasm' shows its time in a browser"
        )
    if api == "io-binding" and format_of(path).backend == "onnxruntime":
        return bind_io(path, images, threads)
    return open_file(path, threads)[1].bind(images)


def _run_model(run: Run, threads: int = 1) -> LoadedModel:
    from lenet_edge.runs.reference import run_model  # imports torch, which a base install has not

    return run_model(run, threads)


def _opener(model: Path | Run, images: NDArray[np.uint8], threads: int, api: Api) -> Opener:
    if isinstance(model, Run):
        return lambda: _run_model(model, threads).bind(images)
    return lambda: open_call(model, images, threads, api)


def _row(kind: str, model: Path | Run, case: tuple[int, int, Api], timing: Timing, baseline: Timing | None) -> BenchRow:
    batch, threads, api = case
    path = model.weights_path if isinstance(model, Run) else model
    backend = "onnxruntime" if kind == FOREIGN else FORMATS[kind].backend if kind in FORMATS else kind
    ratio = paired_ratio(timing, baseline) if baseline else None
    content = read_content(path)
    return BenchRow(
        **vars(timing),
        name=PYTORCH if isinstance(model, Run) else path.name,
        backend=backend,
        format=kind,
        batch=batch,
        threads=threads,
        api=api if backend == "onnxruntime" else "module call",
        images_per_second=batch / timing.p50_us * 1e6,
        relative_to_pytorch=ratio.value if ratio else None,
        relative_ci95=ratio.ci95 if ratio else None,
        bytes=size_of(content),
        sha256=sha256_of(content),
        path=PYTORCH if isinstance(model, Run) else str(path),
    )


def _with_memory(row: BenchRow, model: Path | Run, images: NDArray[np.uint8], threads: int) -> BenchRow:
    found = measure_memory(model, images.shape, threads)
    return row if found is None else replace(row, **{f"memory_{name}": size for name, size in asdict(found).items()})


def _check_answers(files: list[Path], run: Run, pixels: NDArray[np.uint8]) -> None:
    reference = _run_model(run).logits(pixels).argmax(1)
    for path in files:
        name, model = open_file(path)
        agreement = _agreement(model, pixels, reference)
        if agreement < FORMATS[name].min_agreement:
            raise GateError(
                f"{path} gives the class of {run.read().reference} for only {agreement:.2%} of {len(pixels)} images "
                f"(at least {FORMATS[name].min_agreement:.1%}): its timing means nothing; export it again"
            )


def _check_known_answers(files: list[Path]) -> None:
    """Raise GateError for a file that fails its own check; formats without known answers prove nothing."""
    for path in files:
        model = open_file(path)[1]
        if isinstance(model, Classifier) and KNOWN_ANSWERS in model.metadata and not model.prove().passed:
            raise GateError(f"{path} fails its own check, so its timing means nothing; see 'lenet-edge verify {path}'")


def _agreement(model: LoadedModel, pixels: NDArray[np.uint8], reference: NDArray[np.int64]) -> float:
    return float((model.logits(pixels).argmax(1) == reference).mean())
