"""What `run.json` holds: how a run came about, and what came of it."""

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, Self

from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.recipes import Recipe
from lenet_edge_runtime.errors import DataError
from lenet_edge_runtime.spec import ModelSpec

Status = Literal["training", "finished", "imported"]


@dataclass(frozen=True)
class FakeQuantization:
    """What a run by `train --qat` started from, and the activations' ranges that it ended with."""

    source_weights_sha256: str
    source_test_accuracy: float | None  # None: of imported weights, which no run measured
    activation_ranges: tuple[tuple[float, float], ...] = ()  # of each layer but the last; none while training

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """From the JSON object of a record."""
        ranges = fields.pop("activation_ranges")
        return cls(**fields, activation_ranges=tuple((float(low), float(high)) for low, high in ranges))


@dataclass(frozen=True)
class RunRecord:
    """What `run.json` holds; all that is needed to repeat the run, and nothing that names the machine or its user."""

    status: Status
    created: str  # UTC, ISO 8601; the latest run is the one with the greatest
    recipe: Recipe  # as it was used, with the options of the command line applied
    dataset: str
    data_md5s: dict[str, str]
    spec: ModelSpec
    seed: int
    threads: int
    device: str
    versions: dict[str, str]
    metrics: dict[str, Any] = field(default_factory=dict)
    quantization: FakeQuantization | None = None  # of a run by `train --qat`
    processes: int = 1  # that trained it together, each with so many threads; the last ones where it was resumed

    def to_json(self) -> str:
        """Serialise, for people to read too."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read back what `to_json` wrote; raises ValueError, KeyError or TypeError for anything else."""
        fields = json.loads(text)
        recipe = Recipe.from_fields(fields.pop("recipe"))
        spec: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in fields.pop("spec").items()
        }
        given = fields.pop("quantization", None)  # older records lack it
        quantization = None if given is None else FakeQuantization.from_fields(given)
        return cls(**fields, quantization=quantization, recipe=recipe, spec=ModelSpec(**spec))


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
