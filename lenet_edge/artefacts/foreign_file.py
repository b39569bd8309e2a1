"""From another tool's float ONNX file to a run, which exports and verifies like any other."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from lenet_edge import console
from lenet_edge.artefacts.import_candidates import Said, normalisations
from lenet_edge.artefacts.imported_run import temperature_for, write_imported
from lenet_edge.artefacts.importing import least_accuracy
from lenet_edge.artefacts.variant_search import losses_of
from lenet_edge.data.datasets import DATASETS, load_dataset
from lenet_edge.data.image_data import ImageData, ImageForm
from lenet_edge.evaluation.foreign_accuracy import labels_in, options_of
from lenet_edge.networks.architectures import OnnxNetConfig
from lenet_edge.networks.models import Network, build_model
from lenet_edge.networks.recipes import foreign_recipe
from lenet_edge.networks.variants import Normalisation
from lenet_edge.runs.run import Run
from lenet_edge_exporters import foreign_graph
from lenet_edge_exporters.foreign_ending import divide_logits, put_in_order
from lenet_edge_exporters.foreign_net import ForeignNet, input_of
from lenet_edge_exporters.pixels import torch_model
from lenet_edge_runtime.errors import DataError, GateError, ModelFileError, UnclearWeightsError
from lenet_edge_runtime.foreign_classifier import ForeignClassifier
from lenet_edge_runtime.spec import ModelSpec

PACKAGES = ("lenet-edge", "torch", "onnx", "onnxruntime")  # that read the file
TRIED = 2000  # training images, with each usual normalisation
SURE = 2.6  # standard errors of the mean loss by which one normalisation is better than another
ALIKE = 0.999  # share of images that the file as it is and the graph taken from it give one class


def import_file(
    path: Path,
    data: ImageData,
    *,
    labels: Sequence[str] | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    accept_accuracy: bool = False,
    calibrated: bool = False,
    out: Path | None = None,
) -> Run:
    """Make a run of a file; without `mean` and `std` those are found with which it recognises most training images.

    `labels` are those of its outputs, in their order; without them those that it names itself, or else the data's. The
    run's are the data's, in their order. `calibrated`: its logits are divided by the temperature that the validation
    images ask for. Raises ModelFileError for a file that is no float classifier of these images,
    UnclearWeightsError where several normalisations do as well, and GateError where the best recognises far fewer than
    such nets do.
    """
    names = _labels(path, labels, data)
    places = [names.index(label) for label in data.labels]  # of the data's classes among the file's outputs
    # The numbers of a file that takes raw floats, until they are found.
    opened = ForeignClassifier(path, names, mean or (0.0,), std or (1.0,))
    padding = _padding(path, opened.spec, data)
    as_fed = replace(_padded(data, padding), train_labels=np.array(places)[data.train_labels])
    order = np.random.default_rng(0).permutation(len(data.train_labels))[:TRIED]
    found_mean, found_std, accuracy = _normalisation(opened, as_fed, order, given=mean is not None)
    least = least_accuracy(data)
    if accuracy < least and not accept_accuracy:
        raise GateError(
            f"{path} recognises {console.percent(accuracy)} of {len(order):,} training images of {data.name} with "
            f"{options_of(found_mean, found_std)}, where such nets reach {console.percent(least)} and more: give its "
            f"own --mean and --std, its --labels if they are in another order, another --dataset, or take it anyway by "
            f"--accept-accuracy"
        )
    net = _net_of(path, data, padding, places)
    height, width = data.train_pixels.shape[2:]
    spec = ModelSpec(data.labels, height, width, found_mean, found_std, padding, data.polarity, data.fit)
    try:
        size = foreign_graph.parameters(_foreign(net).normalised_graph())
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
    theirs = ForeignClassifier(path, names, found_mean, found_std).logits(as_fed.train_pixels[order])
    _check_same(path, theirs[:, places], torch_model(net, spec).logits(data.train_pixels[order]))
    metrics = {"parameters": size, "import": {"checked_on": len(order), "train_accuracy": accuracy}}
    if calibrated:
        temperature, spec = temperature_for(net, spec, data)
        net = _net_of(path, data, padding, places, temperature)
        metrics["temperature"] = round(temperature, 4)
    return write_imported(net, foreign_recipe(path.name, net.config), data, spec, metrics, packages=PACKAGES, out=out)


def data_for(path: Path, dataset: str, data_dir: Path | None = None) -> ImageData:
    """A data set of the table, or the user's own images in the size and colours that the file takes."""
    taken = input_of(path)
    own = dataset not in DATASETS
    return load_dataset(dataset, data_dir, ImageForm(taken.height, taken.channels) if own else None)


def _labels(path: Path, given: Sequence[str] | None, data: ImageData) -> tuple[str, ...]:
    """What the file's outputs are called, in their order: the data's labels."""
    names = tuple(given or ())
    if not given and (named := labels_in(path)):
        if set(named) == set(data.labels):
            if named != data.labels:
                console.say(f"{path.name} has its classes in another order, which it names: {', '.join(named)}")
            return named
        console.say(f"{path.name} calls its classes {', '.join(named)}: they are taken for {', '.join(data.labels)}")
    names = names or data.labels
    if sorted(names) != sorted(data.labels):
        raise DataError(
            f"--labels are {', '.join(names)}: give those of {data.name} in the order of the file's outputs, each once "
            f"({', '.join(data.labels)})"
        )
    return names


def _net_of(path: Path, data: ImageData, padding: int, places: Sequence[int], temperature: float = 1.0) -> Network:
    """The file with its weights in one piece, also where they lie beside it; the guard has seen where."""
    content = onnx.load(path).SerializeToString()
    if list(places) != sorted(places) or temperature != 1.0:
        content = _with_other_ending(path, content, places, temperature)
    channels, height = data.train_pixels.shape[1:3]
    net = build_model(OnnxNetConfig(len(content), channels, height + 2 * padding, len(data.labels)))
    _foreign(net).content = ForeignNet.of(content, len(data.labels)).content
    return net.eval()


def _with_other_ending(path: Path, content: bytes, places: Sequence[int], temperature: float) -> bytes:
    try:
        model = foreign_graph.as_logits(content, len(places))
        if list(places) != sorted(places):
            put_in_order(model, places)
        if temperature != 1.0:
            divide_logits(model, temperature)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
    changed: bytes = model.SerializeToString()
    return changed


def _foreign(net: Network) -> ForeignNet:
    found = net.layers[0]
    assert isinstance(found, ForeignNet)
    return found


def _padding(path: Path, spec: ModelSpec, data: ImageData) -> int:
    """Black pixels on each side that make the data's images as large as the file's."""
    channels, height, width = data.train_pixels.shape[1:]
    border = spec.height - height
    if spec.channels != channels or border not in (0, 4) or spec.width - width != border:
        raise DataError(
            f"{path} takes images of {spec.pixel_shape}, and those of {data.name} are {(channels, height, width)}: "
            f"name another --dataset (images of 28 x 28 are padded to 32 x 32; others are taken as they are)"
        )
    return int(border) // 2


def _padded(data: ImageData, padding: int) -> ImageData:
    border = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    return replace(data, train_pixels=np.pad(data.train_pixels, border)) if padding else data


def _normalisation(
    opened: ForeignClassifier, data: ImageData, order: NDArray[np.int64], *, given: bool
) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    """Mean, std, and the share of training images that are recognised with them."""
    if given:
        answers = opened.logits(data.train_pixels[order]).argmax(1)
        return opened.spec.mean, opened.spec.std, float((answers == data.train_labels[order]).mean())
    labels = data.train_labels[order]
    tried = []
    for way in normalisations(data, None, Said()):
        trial = ForeignClassifier(opened.path, opened.spec.labels, way.mean, way.std)
        tried.append(_Fed(way, trial.logits(data.train_pixels[order]), labels))
    nearest = min(tried, key=lambda item: item.loss.mean())
    alike = [item for item in tried if item is nearest or item.rivals(nearest)]
    # Another data set's numbers are in doubt only where they alone do well.
    best, *rivals = [item for item in alike if not item.way.is_of_other_data] or alike
    said = options_of(best.way.mean, best.way.std)
    if rivals:
        raise UnclearWeightsError(
            f"{opened.path} does as well on {len(order):,} training images with {said} as with "
            f"{' or '.join(options_of(item.way.mean, item.way.std) for item in rivals)} "
            f"({console.percent(best.accuracy)}): say which is its own"
        )
    console.say(f"it is fed with {said}: {console.percent(best.accuracy)} of {len(order):,} training images are right")
    return best.way.mean, best.way.std, best.accuracy


class _Fed:
    """What a file answers to training images that are normalised in one way."""

    def __init__(self, way: Normalisation, logits: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        self.way = way
        self.answers = logits.argmax(1)
        self.accuracy = float((self.answers == labels).mean())
        self.loss = losses_of(torch.from_numpy(logits).double(), torch.from_numpy(labels))

    def rivals(self, best: "_Fed") -> bool:
        """Whether it cannot be told from the best by its losses, and answers otherwise."""
        lost = self.loss - best.loss
        error = float(lost.std()) / len(lost) ** 0.5
        return bool(lost.mean() <= SURE * error and (self.answers != best.answers).any())


def _check_same(path: Path, theirs: NDArray[np.float32], ours: NDArray[np.float32]) -> None:
    agreement = float((theirs.argmax(1) == ours.argmax(1)).mean())
    if agreement < ALIKE:
        raise ModelFileError(
            f"{path} answers otherwise than the float32 graph that was taken from it (the same class for "
            f"{console.percent(agreement)} of {len(ours):,} images): it cannot be exported"
        )
