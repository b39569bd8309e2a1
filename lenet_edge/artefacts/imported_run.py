"""The run that a network from elsewhere becomes: its weights and its record, as if it had been trained here."""

from pathlib import Path
from typing import Any

from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.models import Network
from lenet_edge.networks.recipes import Recipe
from lenet_edge.runs import checkpoints
from lenet_edge.runs.record import RunRecord, now
from lenet_edge.runs.run import Run, create_run
from lenet_edge_runtime.host import installed_versions
from lenet_edge_runtime.spec import ModelSpec

PACKAGES = ("lenet-edge", "torch")  # that read the network


def write_imported(
    net: Network,
    recipe: Recipe,
    data: ImageData,
    spec: ModelSpec,
    metrics: dict[str, Any],
    *,
    packages: tuple[str, ...] = PACKAGES,
    out: Path | None = None,
) -> Run:
    """Write the run to the folder `out`, or to one under runs/; `metrics` has the number of parameters at least."""
    record = RunRecord(
        status="imported",
        created=now(),
        recipe=recipe,
        dataset=data.name,
        data_md5s=dict(data.md5s),
        spec=spec,
        seed=0,
        threads=1,
        device="cpu",
        versions=installed_versions(packages),
        metrics=metrics,
    )
    with create_run(out, f"{recipe.name}-{data.name}-imported") as run:
        checkpoints.save_weights(run.weights_path, net)
        run.remember_data(data)
        run.write_listed(record)
    return run
