"""The images that calibrate int8: what is asked of them, how they are drawn, and how much the draw matters."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters import ExportJob, int8, onnx
from lenet_edge_exporters.export_job import CALIBRATION_IMAGES, MAX_CALIBRATION_IMAGES, CalibrationMethod

LayerChoice = Literal["all", "linear", "auto"]
LAYER_CHOICES: tuple[LayerChoice, ...] = get_args(LayerChoice)


@dataclass(frozen=True)
class Int8Plan:
    """What is asked of int8: how many training images calibrate it, how, drawn with which seed, and which layers.

    `seed`: the run's where it is None. `layers`: "auto" measures which. `draws`: repeat with so many seeds from
    `seed` on, to see how much the draw matters; 0 for not at all.
    """

    images: int = CALIBRATION_IMAGES
    method: CalibrationMethod = "minmax"
    seed: int | None = None
    layers: LayerChoice = "all"
    draws: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for numbers out of range and layers that there are not."""
        if not 1 <= self.images <= MAX_CALIBRATION_IMAGES:
            raise ValueError(f"1 to {MAX_CALIBRATION_IMAGES} calibration images, got {self.images}")
        if self.layers not in LAYER_CHOICES:
            raise ValueError(f"layers are one of {', '.join(LAYER_CHOICES)}, got {self.layers!r}")
        if self.draws < 0 or self.draws == 1:
            raise ValueError(f"a spread needs at least 2 draws (0 for none), got {self.draws}")


@dataclass(frozen=True)
class CalibrationDraws:
    """Accuracy of int8 on the validation images, once a draw; `sd` is the sample's (n - 1)."""

    n: int
    accuracies: tuple[float, ...]
    mean: float
    sd: float


def draw(indices: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """`count` of these indices (all, where there are fewer), sorted."""
    return np.sort(np.random.default_rng(seed).choice(indices, size=min(count, len(indices)), replace=False))


def repeat_calibration(
    job: ExportJob,
    candidates: NDArray[np.uint8],
    plan: Int8Plan,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
) -> CalibrationDraws:
    """Quantize with `plan.draws` draws from `candidates`, the training images, seeded from the job's seed on.

    `pixels` uint8 [n, c, h, w] and `labels` [n] are the validation images.
    """
    model = onnx.build(job)
    first = job.int8.calibration_seed or 0
    accuracies = []
    for seed in range(first, first + plan.draws):
        drawn = candidates[draw(np.arange(len(candidates)), plan.images, seed)]
        repeated = replace(job, calibration_pixels=drawn, int8=replace(job.int8, calibration_seed=seed))
        content = int8.exporter(repeated, model)(job.int8.layers)
        accuracies.append(float((_logits(content, pixels).argmax(1) == labels).mean()))
    return CalibrationDraws(plan.draws, tuple(accuracies), fmean(accuracies), stdev(accuracies))


def _logits(content: bytes, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(content)
        return onnx.load(path).logits(pixels)
