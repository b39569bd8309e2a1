"""What a report shows: what the run holds, and what is measured anew of its network and its exported files."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lenet_edge.bench.measuring import BenchPlan, BenchRow, bench, describe_bench_host, timeable
from lenet_edge.data.corruptions.kinds import SHAPE
from lenet_edge.data.image_data import ImageData
from lenet_edge.evaluation.evaluation import Evaluation, evaluate
from lenet_edge.evaluation.robustness import PER_KIND
from lenet_edge.evaluation.run_verification import Verification, verify
from lenet_edge.evaluation.subjects import format_of_run
from lenet_edge.runs.exported import PYTORCH, exported_files
from lenet_edge.runs.history import Epoch, read_history
from lenet_edge.runs.opened import OpenedRun
from lenet_edge.runs.record import RunRecord
from lenet_edge.runs.run import Run
from lenet_edge_exporters.formats import read_content, sha256_of, size_of
from lenet_edge_exporters.opening import is_own
from lenet_edge_exporters.pixels import deployable
from lenet_edge_runtime.errors import ModelFileError

MISTAKES = 54  # shown at most
FILTERS = 64


@dataclass(frozen=True)
class Filters:
    """The first convolution: kernels float32 [k, h, w], a mean over its input channels, and what they make of an image.

    `responses` float32 [k, h, w] are the convolution's outputs for `image`, uint8 [c, h, w], a test image of `label`.
    """

    kernels: NDArray[np.float32]
    responses: NDArray[np.float32]
    inputs: int
    image: NDArray[np.uint8]
    label: str


@dataclass(frozen=True)
class Findings:
    """All that a report is made of; the last two are of the exported files, and empty or None without them."""

    record: RunRecord
    history: list[Epoch]  # empty for imported weights
    data: ImageData
    evaluation: Evaluation
    filters: Filters | None  # None for a network without a convolution
    file_sizes: dict[str, int]  # bytes by name, PyTorch's weights first
    file_sha256s: dict[str, str]
    verification: Verification | None
    timings: list[BenchRow]  # empty where they were not taken
    host: dict[str, Any] | None


def gather(opened: OpenedRun, plan: BenchPlan | None, *, trust: bool = False) -> Findings:
    """Score a finished run and its exported files on its test set, and time them as `plan` says, if at all.

    `trust`: see `lenet_edge_exporters.open_file`; what runs in a process of its own is not timed.
    """
    run, record, data = opened.run, opened.record, opened.data
    name = f"{record.recipe.name} on {data.name}"
    evaluation = evaluate(
        opened.model,
        record.spec,
        data,
        name=name,
        format_name=format_of_run(record),
        mistakes=MISTAKES,
        corrupted=PER_KIND if data.test_pixels.shape[1:] == SHAPE else None,
    )
    files = _files_of(run)
    verification = verify(files, opened, data, None, same_weights=True, trust=trust) if files else None
    contents = {path: read_content(path) for path in (run.weights_path, *files)}
    timings: list[BenchRow] = []
    if plan is not None and files:
        timings = bench(
            timeable([path for path in files if is_own(path)]),
            run,
            data.test_pixels[:1000],
            batches=[1],
            threads=[1],
            plan=plan,
        )
    return Findings(
        record=record,
        history=read_history(run) if run.history_path.is_file() else [],
        data=data,
        evaluation=evaluation,
        filters=first_filters(opened.net, record, data),
        file_sizes={path.name if path in files else PYTORCH: size_of(content) for path, content in contents.items()},
        file_sha256s={path.name: sha256_of(content) for path, content in contents.items()},
        # Files are known by their names alone: a path would tell where the report was made.
        verification=verification and _without_folders(verification),
        timings=[row if row.format == PYTORCH else replace(row, path=Path(row.path).name) for row in timings],
        host=describe_bench_host() if timings else None,
    )


def first_filters(net: nn.Module, record: RunRecord, data: ImageData) -> Filters | None:
    """The first convolution that runs, whatever the network is, with its response to the first test image."""
    seen: list[tuple[nn.Conv2d, Tensor]] = []
    whole = deployable(net, record.spec)
    for module in whole.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda layer, _, output: seen.append((layer, output)))
    with torch.inference_mode():
        whole(torch.tensor(data.test_pixels[:1]))
    if not seen:
        return None
    layer, output = seen[0]
    return Filters(
        kernels=layer.weight.detach().mean(dim=1).numpy()[:FILTERS],
        responses=output[0].numpy()[:FILTERS],
        inputs=layer.weight.shape[1],
        image=data.test_pixels[0],
        label=data.labels[data.test_labels[0]],
    )


def _files_of(run: Run) -> list[Path]:
    try:
        return exported_files(run)
    except ModelFileError:  # none were exported: the report says so
        return []


def _without_folders(verification: Verification) -> Verification:
    return replace(verification, verdicts=[replace(item, path=Path(item.path).name) for item in verification.verdicts])
