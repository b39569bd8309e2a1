"""The run that a network from elsewhere becomes: its weights and its record, as if it had been trained here.

Its weights stay as they are, unless its user asks for calibrated probabilities.
"""

from pathlib import Path
from typing import Any

import numpy as np

from lenet_edge import console
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.models import Network
from lenet_edge.networks.recipes import Recipe
from lenet_edge.runs import checkpoints
from lenet_edge.runs.record import RunRecord, now
from lenet_edge.runs.run import Run, create_run
from lenet_edge.training.confidence import described_confidence, find_temperature, fold_temperature
from lenet_edge_exporters.pixels import torch_model
from lenet_edge_runtime.errors import WeightsError
from lenet_edge_runtime.host import installed_versions
from lenet_edge_runtime.spec import ModelSpec

PACKAGES = ("lenet-edge", "torch")  # that read the network
SEED = 0  # of the split into training and validation images


def write_imported(
    net: Network,
    recipe: Recipe,
    data: ImageData,
    spec: ModelSpec,
    metrics: dict[str, Any],
    *,
    calibrated: bool = False,
    packages: tuple[str, ...] = PACKAGES,
    out: Path | None = None,
) -> Run:
    """Write the run to the folder `out`, or to one under runs/; `metrics` has the number of parameters at least.

    With `calibrated` the temperature that the validation images ask for is folded into `net`, and its threshold and
    quantiles into the spec; raises WeightsError where no layer of it can take the temperature.
    """
    if calibrated:
        temperature, spec = temperature_for(net, spec, data)
        if not fold_temperature(net, temperature):
            raise WeightsError(
                "--calibrate: no layer of this network gives its logits, so that none can take the temperature: "
                "let it end in a dense layer or a convolution, or leave --calibrate out"
            )
        metrics = {**metrics, "temperature": round(temperature, 4)}
    if "temperature" in metrics:
        console.say(
            f"the logits are divided by the temperature {metrics['temperature']}, which the validation images ask for"
        )
    record = RunRecord(
        status="imported",
        created=now(),
        recipe=recipe,
        dataset=data.name,
        data_md5s=dict(data.md5s),
        spec=spec,
        seed=SEED,
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


def temperature_for(net: Network, spec: ModelSpec, data: ImageData) -> tuple[float, ModelSpec]:
    """The temperature that the validation images ask for, and the spec of `net` once it is folded in."""
    _, held_out = data.split(SEED)
    logits, labels = torch_model(net, spec).logits(data.train_pixels[held_out]), data.train_labels[held_out]
    temperature = find_temperature(logits, labels)
    return temperature, described_confidence(spec, (logits / temperature).astype(np.float32), labels)
