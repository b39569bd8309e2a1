"""What `run.json` holds: how a run came about, and what came of it."""

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.architectures import OnnxNetConfig
from lenet_edge.networks.recipes import Recipe
from lenet_edge_runtime import records
from lenet_edge_runtime.errors import DataError
from lenet_edge_runtime.records import FileName, RecordError, Sized, Within
from lenet_edge_runtime.spec import ModelSpec

Status = Literal["training", "finished", "imported"]
Device = Literal["cpu", "cuda", "mps"]
_FIGURES = {
    "parameters", "epochs", "seconds", "images_per_second", "train_accuracy", "val_accuracy", "test_accuracy",
    "test_images",
}  # fmt: skip
Count = Annotated[int, Within(1, 65_536)]
_MEASURED: dict[str, set[str]] = {
    "training": set(),
    "imported": {"parameters"},
    "finished": {"parameters", "val_accuracy", "test_accuracy"},
}


@dataclass(frozen=True)
class FakeQuantization:
    """What a run by `train --qat` started from, and the activations' ranges that it ended with."""

    source_weights_sha256: Annotated[str, Sized(1, 128)]
    source_test_accuracy: Annotated[float, Within(0, 1)] | None  # None: of imported weights, which no run measured
    activation_ranges: tuple[tuple[float, float], ...] = ()  # of each layer but the last; none while training


@dataclass(frozen=True)
class RunRecord:
    """What `run.json` holds; all that is needed to repeat the run, and nothing that names the machine or its user."""

    status: Status
    created: Annotated[str, Sized(1, 64)]  # UTC, ISO 8601; the latest run is the one with the greatest
    recipe: Recipe  # as it was used, with the options of the command line applied
    dataset: Annotated[str, FileName()]
    data_md5s: dict[str, str]
    spec: ModelSpec
    seed: Annotated[int, Within(0, 2**64 - 1)]
    threads: Count
    device: Device
    versions: dict[str, str]
    metrics: dict[str, Any] = field(default_factory=dict)
    quantization: FakeQuantization | None = None  # of a run by `train --qat`
    processes: Annotated[int, Within(1, 65_536)] = (
        1  # that trained it together, each with so many threads; the last ones where it was resumed
    )

    @property
    def is_foreign(self) -> bool:
        """Whether it is another tool's ONNX file that stands in the place of a network in PyTorch."""
        return isinstance(self.recipe.model, OnnxNetConfig)

    @property
    def reference(self) -> str:
        """What the run's files are compared with, in words."""
        return "the original ONNX file" if self.is_foreign else "the PyTorch model"

    def to_json(self) -> str:
        """Serialise, for people to read too."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read back what `to_json` wrote; raises RecordError, which names the field, for anything else."""
        record = records.from_fields(cls, records.parse(text))
        record._check_agreement()
        return record

    def _check_agreement(self) -> None:
        """Raise RecordError where network, images and results do not belong together."""
        spec, model = self.spec, self.recipe.model
        sides = (spec.height + 2 * spec.padding, spec.width + 2 * spec.padding)
        ours = model.architecture in ("lenet5", "convnet")  # other nets may scale the image themselves
        for what, one, other in (
            ("spec.labels", len(spec.labels), model.classes),
            ("spec.mean", spec.channels, model.channels),
            ("spec.height and padding", sides[0] if ours else model.size, model.size),
            ("spec.width and padding", sides[1] if ours else model.size, model.size),
        ):
            if one != other:
                raise RecordError(f"{what} give {one} where recipe.model takes {other}")
        for name in _FIGURES & set(self.metrics):
            records.check_number(self.metrics[name], f"metrics.{name}")
        missing = _MEASURED[self.status] - set(self.metrics)
        if missing:
            raise RecordError(f"metrics.{min(missing)} is missing")


def now() -> str:
    """The time in UTC, ISO 8601 with microseconds, so that runs sort by it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def fitted_to(recipe: Recipe, data: ImageData) -> Recipe:
    """The recipe with a network for these data's classes, channels and size."""
    channels, height = data.train_pixels.shape[1:3]
    size = height + 2 * recipe.padding
    return replace(recipe, model=replace(recipe.model, classes=len(data.labels), channels=channels, size=size))


def spec_for(recipe: Recipe, data: ImageData) -> ModelSpec:
    """What a network of this recipe takes when it is trained on these data; DataError for images without contrast."""
    channels, height, width = data.train_pixels.shape[1:]
    mean, std = data.mean, data.std
    if not all(std):
        raise DataError(
            f"the training images of {data.folder or data.name} are all of one colour; give images that show something"
        )
    if recipe.normalisation is not None:
        mean, std = ((value,) * channels for value in recipe.normalisation)
    return ModelSpec(data.labels, height, width, mean, std, recipe.padding, data.polarity, data.fit)
