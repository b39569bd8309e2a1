"""From a program's network and its weights to a run, which exports and verifies like any other."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from lenet_edge import console
from lenet_edge.artefacts.imported_run import write_imported
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.models import build_model, deployed_parameters
from lenet_edge.networks.recipes import Recipe
from lenet_edge.networks.tensor_files import Tensors, read_tensors
from lenet_edge.networks.weights import check_values
from lenet_edge.runs.record import fitted_to, spec_for
from lenet_edge.runs.run import Run
from lenet_edge_runtime.errors import WeightsError

PLACES = ("layers.own.net.", "layers.own.")  # of the program's network: without its softmax, or as it is


def run_of(
    recipe: Recipe,
    data: ImageData,
    weights: Path | None,
    *,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    calibrated: bool = False,
    out: Path | None = None,
) -> Run:
    """Make a run of a named program's network; without `weights` those that the program itself loads.

    `calibrated`: as in `write_imported`. Raises WeightsError for weights that are not the network's, for a mean and std
    that do not fit the data, and for a network that cannot be calibrated.
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
    metrics = {"parameters": deployed_parameters(net)}
    return write_imported(net, fitted, data, spec, metrics, calibrated=calibrated, out=out)


def load_weights(path: Path, net: nn.Module) -> None:
    """Load tensors of the program's network by its own names, wherever in a file of weights they lie.

    Whatever stands before all of the names, as DataParallel's `module.` or Lightning's `model.`, is no part of them.
    """
    file = read_tensors(path)
    if file.remark:
        console.say(file.remark)
    own = net.state_dict()
    place = next(place for place in PLACES if all(key.startswith(place) for key in own))
    wanted = {key.removeprefix(place): value for key, value in own.items()}
    found: dict[str, Tensors] = {}
    reasons = []
    for key, table in sorted(file.tables.items(), key=lambda item: len(item[1])):  # what wraps others comes last
        try:
            named = _named(table, wanted, path)
        except WeightsError as error:
            reasons.append(error)
            continue
        if not any(all(value is other.get(name) for name, value in named.items()) for other in found.values()):
            found[key] = named
    if not found:
        raise reasons[-1]
    key, tensors = next(iter(found.items()))
    if len(found) > 1:
        console.say(f"of the tables in the file that fit ({', '.join(map(repr, found))}) {key!r} is taken")
    check_values({name: value for name, value in tensors.items() if wanted[name].is_floating_point()}, path)
    net.load_state_dict({place + name: value for name, value in tensors.items()}, strict=False)


def _named(table: Tensors, wanted: Mapping[str, Tensor], path: Path) -> Tensors:
    """The network's tensors in a table, by the network's names; raises WeightsError that says what does not fit."""
    reasons = []
    for prefix in _prefixes(table, wanted):
        named = {key.removeprefix(prefix): value for key, value in table.items() if key.startswith(prefix)}
        missing = [name for name in wanted if name not in named and not name.endswith("num_batches_tracked")]
        extra = [name for name in named if name not in wanted]
        other = [name for name in named if name in wanted and named[name].shape != wanted[name].shape]
        if not missing and not extra and not other:
            return named
        reasons.append(
            f"{prefix + extra[0]!r} has no place in it"
            if extra
            else f"it lacks {missing[0]!r}"
            if missing
            else f"{other[0]!r} is {list(named[other[0]].shape)}, and the network's {list(wanted[other[0]].shape)}"
        )
    raise WeightsError(f"{path} is no state_dict of this network: {reasons[-1]}; give the weights of this program")


def _prefixes(table: Tensors, wanted: Mapping[str, Tensor]) -> Iterator[str]:
    """What may stand before every name: nothing, or whatever stands before the longest."""
    yield ""
    longest = max((name for name in wanted if not name.endswith("num_batches_tracked")), key=len, default="")
    if longest:
        yield from (key.removesuffix(longest) for key in table if key.endswith("." + longest))
