"""Which layers to quantize: what each choice costs and gains on this host, and what each layer does by itself.

Accuracy is that on validation images, latency that of fresh sessions in shuffled order, all choices in one call.
"""

import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet_edge.evaluation import statistics
from lenet_edge.evaluation.comparison import strict_max_drop
from lenet_edge_exporters import ExportJob, int8, onnx
from lenet_edge_exporters.layers import Layer, layers_of
from lenet_edge_runtime.latency import Opener, Timing, measure

EXHAUSTIVE_LAYERS = 6  # 63 subsets; more layers are tried greedily
MAX_SIZE = 0.35  # of float32's bytes: what one quantizes for
LatencyMeter = Callable[[Mapping[str, Opener]], dict[str, Timing]]


@dataclass(frozen=True)
class Candidate:
    """A choice of layers, measured; without any layer it is the float32 file."""

    layers: tuple[Layer, ...]
    bytes: int
    p50_us: float
    p50_ci95_us: tuple[float, float]
    accuracy: float  # on the validation images, as are the next two
    agreement: float  # with float32
    drop_upper95_pp: float  # upper end of the 95 % interval of the accuracy drop against float32
    on_front: bool = False  # no other is at least as good in bytes, latency and accuracy, and better in one

    @property
    def name(self) -> str:
        """The layers as the network calls them: `c5 f6 output`."""
        return " ".join(short_name(layer) for layer in self.layers) or "none (float32)"

    @property
    def nodes(self) -> tuple[str, ...]:
        """The layers as the ONNX graph calls them."""
        return tuple(layer.node for layer in self.layers)


@dataclass(frozen=True)
class Selection:
    """All candidates, float32 first, and the one that was taken."""

    candidates: tuple[Candidate, ...]
    chosen: Candidate
    images: int
    max_drop_pp: float
    gate_held: bool  # whether the chosen one held the gate on the validation images; the nearest to it if not

    @property
    def float32(self) -> Candidate:
        """What the others are measured against."""
        return self.candidates[0]

    @property
    def front(self) -> list[Candidate]:
        """The Pareto front, fastest first."""
        return sorted((item for item in self.candidates if item.on_front), key=lambda item: item.p50_us)


@dataclass(frozen=True)
class LayerDamage:
    """What quantizing one layer alone does to the answers on validation images."""

    layer: Layer
    accuracy: float
    accuracy_drop_pp: float
    agreement: float
    logit_rms_error: float


def select_layers(
    job: ExportJob,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
    max_drop_pp: float | None = None,
    meter: LatencyMeter | None = None,
) -> Selection:
    """Measure choices of layers and take the fastest that holds the gate with at most 0.35 of float32's bytes.

    `pixels` uint8 [n, c, h, w] and `labels` [n] are validation images. The gate: the 95 % interval of the accuracy
    drop reaches at most `max_drop_pp` beyond where it ends for a file that never differs. Where no small enough
    choice holds it, the one nearest to it is taken.
    """
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(job, pixels, labels, Path(folder), meter or _latency)
        choices = _all_subsets(bench.layers) if len(bench.layers) <= EXHAUSTIVE_LAYERS else _greedy_path(bench)
        candidates = mark_front(bench.candidates([(), *choices]))
    allowed = strict_max_drop(candidates[0].accuracy) if max_drop_pp is None else max_drop_pp
    chosen = choose(candidates, allowed)
    return Selection(tuple(candidates), chosen, len(labels), allowed, _holds_gate(chosen, candidates[0], allowed))


def choose(candidates: Sequence[Candidate], max_drop_pp: float) -> Candidate:
    """The fastest that is small enough and holds the gate; else the one nearest to the gate, or to the size.

    Among those that the measurement cannot tell from the fastest it is the smallest.
    """
    float32, *others = candidates
    small = [item for item in others if item.bytes <= MAX_SIZE * float32.bytes]
    passing = [item for item in small if _holds_gate(item, float32, max_drop_pp)]
    if passing:
        fastest = min(passing, key=lambda item: item.p50_us)
        close = [item for item in passing if item.p50_ci95_us[0] <= fastest.p50_ci95_us[1]]
        return min(close, key=lambda item: item.bytes)
    if small:
        return min(small, key=lambda item: (item.drop_upper95_pp, item.p50_us))
    return min(others, key=lambda item: item.bytes)


def mark_front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Mark those that no other dominates in bytes, latency and accuracy."""
    return [replace(item, on_front=not any(_dominates(other, item) for other in candidates)) for item in candidates]


def layer_sensitivity(job: ExportJob, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> list[LayerDamage]:
    """Quantize each layer alone; the most harmful comes first: by lost accuracy, disagreements, change of logits.

    `pixels` uint8 [n, c, h, w] and `labels` [n] are validation images; the reference is the float32 graph.
    """
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(job, pixels, labels, Path(folder), _latency)
        reference = bench.logits(())
        rows = [_damage(layer, bench.logits((layer,)), reference, labels) for layer in bench.layers]
    return sorted(rows, key=lambda row: (-row.accuracy_drop_pp, row.agreement, -row.logit_rms_error))


def short_name(layer: Layer) -> str:
    """`layers.c5.0` as `c5`: the name within the network, without the place in its block."""
    return layer.label.removeprefix("layers.").removesuffix(".0")


class _Bench:
    """One network, built and calibrated once, exported with any choice of layers into a folder."""

    def __init__(
        self,
        job: ExportJob,
        pixels: NDArray[np.uint8],
        labels: NDArray[np.int64],
        folder: Path,
        meter: LatencyMeter,
    ) -> None:
        self._job, self._pixels, self._labels, self._folder, self._meter = job, pixels, labels, folder, meter
        model = onnx.build(job)
        self.layers = layers_of(model)
        self._int8 = int8.exporter(job, model)
        self._paths: dict[tuple[Layer, ...], Path] = {(): folder / "float32.onnx"}
        self._paths[()].write_bytes(onnx.serialise(model, job.metadata("onnx")))

    def path(self, layers: tuple[Layer, ...]) -> Path:
        """The file in which these layers are quantized, written when first asked for."""
        if layers not in self._paths:
            self._paths[layers] = self._folder / f"{len(self._paths)}.onnx"
            self._paths[layers].write_bytes(self._int8(tuple(layer.node for layer in layers)))
        return self._paths[layers]

    def logits(self, layers: tuple[Layer, ...]) -> NDArray[np.float32]:
        """Logits [n, classes] of the file for the validation images."""
        return onnx.load(self.path(layers)).logits(self._pixels)

    def timings(self, choices: Sequence[tuple[Layer, ...]]) -> list[Timing]:
        """Latency of one image, all choices in one measurement."""
        openers = {str(self.path(layers)): _opener(self.path(layers), self._pixels[:1]) for layers in choices}
        return list(self._meter(openers).values())

    def candidates(self, choices: Sequence[tuple[Layer, ...]]) -> list[Candidate]:
        """Measure every choice; the first is the reference."""
        timings = self.timings(choices)
        reference = self.logits(choices[0])
        return [self._candidate(*item, reference) for item in zip(choices, timings, strict=True)]

    def _candidate(self, layers: tuple[Layer, ...], timing: Timing, reference: NDArray[np.float32]) -> Candidate:
        answers = self.logits(layers).argmax(1)
        right, reference_right = answers == self._labels, reference.argmax(1) == self._labels
        lost, gained = int((reference_right & ~right).sum()), int((right & ~reference_right).sum())
        return Candidate(
            layers=layers,
            bytes=self.path(layers).stat().st_size,
            p50_us=timing.p50_us,
            p50_ci95_us=timing.p50_ci95_us,
            accuracy=float(right.mean()),
            agreement=float((answers == reference.argmax(1)).mean()),
            drop_upper95_pp=100 * statistics.paired_drop_interval(lost, gained, len(right))[1],
        )


def _holds_gate(item: Candidate, float32: Candidate, max_drop_pp: float) -> bool:
    # Validation images are few: the interval of float32 against itself would end at 0.077 points for 5,000 of them,
    # and one differing image would decide. The proof comes from the test set, when the file is written.
    return item.drop_upper95_pp - float32.drop_upper95_pp <= max_drop_pp


def _latency(openers: Mapping[str, Opener]) -> dict[str, Timing]:
    return measure(openers, rounds=15, calls=200, warmup=50)


def _opener(path: Path, image: NDArray[np.uint8]) -> Opener:
    return lambda: onnx.load(path).bind(image)


def _all_subsets(layers: Sequence[Layer]) -> list[tuple[Layer, ...]]:
    return [chosen for count in range(1, len(layers) + 1) for chosen in itertools.combinations(layers, count)]


def _greedy_path(bench: _Bench) -> list[tuple[Layer, ...]]:
    """Nested choices: each adds to the last the layer with which it is fastest, until all are quantized."""
    path: list[tuple[Layer, ...]] = [()]
    while len(path[-1]) < len(bench.layers):
        steps = [
            tuple(layer for layer in bench.layers if layer == added or layer in path[-1])
            for added in bench.layers
            if added not in path[-1]
        ]
        timings = bench.timings(steps)
        path.append(min(zip(steps, timings, strict=True), key=lambda pair: pair[1].p50_us)[0])
    return path[1:]


def _dominates(one: Candidate, other: Candidate) -> bool:
    pairs = (
        (one.bytes, other.bytes),
        (one.p50_us, other.p50_us),
        (-one.accuracy, -other.accuracy),
    )
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _damage(
    layer: Layer, logits: NDArray[np.float32], reference: NDArray[np.float32], labels: NDArray[np.int64]
) -> LayerDamage:
    right = logits.argmax(1) == labels
    return LayerDamage(
        layer=layer,
        accuracy=float(right.mean()),
        accuracy_drop_pp=100 * float((reference.argmax(1) == labels).mean() - right.mean()),
        agreement=float((logits.argmax(1) == reference.argmax(1)).mean()),
        logit_rms_error=float(np.sqrt(np.square(logits - reference).mean())),
    )
