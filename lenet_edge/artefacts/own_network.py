"""From a program's network and its weights to a run, which exports and verifies like any other."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lenet_edge.artefacts.imported_run import write_imported
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.models import build_model, deployed_parameters
from lenet_edge.networks.recipes import Recipe
from lenet_edge.runs.record import fitted_to, spec_for
from lenet_edge.runs.run import Run
from lenet_edge_runtime.errors import WeightsError
from lenet_edge_runtime.reading import read_bytes

PLACES = ("layers.own.", "layers.own.net.")  # of the program's network: as it is, or without its softmax


def run_of(
    recipe: Recipe,
    data: ImageData,
    weights: Path | None,
    *,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    out: Path | None = None,
) -> Run:
    """Make a run of a named program's network; without `weights` those that the program itself loads.

    Raises WeightsError for weights that are not the network's, and for a mean and std that do not fit the data.
    """
    fitted = fitted_to(recipe, data)
    net = build_model(fitted.model)
    if weights is not None:
        load_weights(weights, net)
    spec = spec_for(recipe, data)
    try:
        wanted = spec.channels
        spec = replace(spec, mean=mean or spec.mean, std=std or spec.std)
        if spec.channels != wanted:
            raise ValueError(f"the images have {wanted} channel(s), and mean and std {spec.channels} numbers")
    except ValueError as error:
        raise WeightsError(f"{error}; give --mean and --std once a channel, as the network was trained") from None
    return write_imported(net, fitted, data, spec, {"parameters": deployed_parameters(net)}, out=out)


def load_weights(path: Path, net: nn.Module) -> None:
    """Load a state_dict of the program's network, by its own names."""
    found = _state_dict(path)
    own = net.state_dict()
    before = next((place for place in PLACES if any(place + key in own for key in found)), PLACES[0])
    prefix = {key: before + key if before + key in own else "" for key in found}
    missing = [name for name in own if name not in prefix.values() and not name.endswith("num_batches_tracked")]
    extra = [key for key, name in prefix.items() if not name or own[name].shape != found[key].shape]
    if missing or extra:
        what = f"{extra[0]!r} has no place in it" if extra else f"it lacks {missing[0]!r}"
        raise WeightsError(f"{path} is no state_dict of this network: {what}; give the weights of this program")
    net.load_state_dict({name: found[key] for key, name in prefix.items()}, strict=False)


def _state_dict(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load

    try:
        content: Any = (
            load(read_bytes(path))
            if path.suffix == ".safetensors"
            else torch.load(io.BytesIO(read_bytes(path)), map_location="cpu", weights_only=True)
        )
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}): give the path of a state_dict") from None
    except Exception as error:  # of damaged bytes torch's reader raises whatever the part that met them raises
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise WeightsError(f"{path} is no state_dict ({reason}); save model.state_dict()") from None
    for key in ("state_dict", "model_state_dict", "model"):
        content = content[key] if isinstance(content, dict) and isinstance(content.get(key), dict) else content
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{path} is not a state_dict (names and tensors); save model.state_dict()")
    return content
