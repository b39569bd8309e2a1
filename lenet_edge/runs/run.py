"""A run is a folder: weights, a record of how they came about, the history, the curves, and the exported files.

runs/lenet5-mnist-1/
    run.json               recipe, data md5s, versions, seed, threads, device, metrics
    weights.safetensors    the final weights
    history.csv            one row an epoch
    curves.png             the same, to look at
    checkpoint.safetensors the state at the last epoch boundary, while training is not finished
    source.safetensors     of a run by `train --qat`: the float32 weights before it, which its files are gated against
    local.json             where the user's own images lie; true on this machine only, not to be passed on
    export/                the exported files
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from lenet_edge import console
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.recipes import Recipe
from lenet_edge_exporters import atomic
from lenet_edge_runtime.errors import DataError, RunError
from lenet_edge_runtime.spec import ModelSpec

RUNS = Path("runs")

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


@dataclass(frozen=True)
class Run:
    """A run folder and the places in it."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def record_path(self) -> Path:
        return self.folder / "run.json"

    @property
    def weights_path(self) -> Path:
        return self.folder / "weights.safetensors"

    @property
    def source_path(self) -> Path:
        return self.folder / "source.safetensors"

    @property
    def history_path(self) -> Path:
        return self.folder / "history.csv"

    @property
    def curves_path(self) -> Path:
        return self.folder / "curves.png"

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @property
    def export_folder(self) -> Path:
        return self.folder / "export"

    @property
    def _local_path(self) -> Path:
        return self.folder / "local.json"

    def read(self) -> RunRecord:
        """Read the record; raise RunError where there is none or it is damaged."""
        try:
            return RunRecord.from_json(self.record_path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(f"{self.folder} is not a run folder: it has no run.json; see 'lenet-edge train'") from None
        except NotADirectoryError:
            raise RunError(
                f"{self.folder} is a file, not a run: give the folder that 'lenet-edge train' wrote"
            ) from None
        except OSError as error:
            raise RunError(f"{self.record_path} cannot be read ({error.strerror}); name a run that can") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{self.record_path} is damaged ({error!r}); remove that folder, or train again") from None

    def write(self, record: RunRecord) -> None:
        """Write the record, whole or not at all."""
        atomic.write_text(self.record_path, record.to_json() + "\n")

    def finish(self, metrics: dict[str, Any], activation_ranges: tuple[tuple[float, float], ...] = ()) -> RunRecord:
        """Mark the run as finished with these metrics (and the ranges of fake quantization); drop its checkpoint."""
        record = replace(self.read(), status="finished", metrics=metrics)
        if record.quantization is not None:
            quantization = replace(record.quantization, activation_ranges=activation_ranges)
            record = replace(record, quantization=quantization)
        self.write(record)
        self.checkpoint_path.unlink(missing_ok=True)
        return record

    def remember_data(self, data: ImageData) -> None:
        """Keep where a user's own images lie, outside of the record."""
        if data.folder is not None:
            atomic.write_text(self._local_path, json.dumps({"dataset": str(data.folder.resolve())}) + "\n")

    def dataset_argument(self) -> str:
        """What `load_dataset` takes to load this run's data: a name, or the path of the user's own folder."""
        if not self._local_path.is_file():
            return self.read().dataset
        try:
            return str(json.loads(self._local_path.read_text(encoding="utf-8"))["dataset"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{self._local_path}, which says where the run's images lie, is damaged ({error!r}); "
                f'write {{"dataset": "FOLDER"}} into it'
            ) from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the folder; raise RunError where one is in it."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.folder / ".lock", timeout=0):
                yield
        except Timeout:
            raise RunError(
                f"{self.folder} is in use by another lenet-edge process; wait for it, or choose another --out"
            ) from None


def now() -> str:
    """The time in UTC, ISO 8601 with microseconds, so that runs sort by it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def fitted_to(recipe: Recipe, data: ImageData) -> Recipe:
    """The recipe with a network for these data's classes and channels."""
    return replace(recipe, model=replace(recipe.model, classes=len(data.labels), channels=data.train_pixels.shape[1]))


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


@contextlib.contextmanager
def create_run(out: Path | None, stem: str, root: Path = RUNS) -> Iterator[Run]:
    """Make a new run folder, `out` or the first free `root/stem-N`, and give it under its lock.

    Its record has to be written before the lock is released: that makes it a run, which nobody else then begins.
    Raises RunError where `out` holds a run, or another process is making one there.
    """
    run = Run(_next_folder(root, stem) if out is None else out)
    run.folder.mkdir(parents=True, exist_ok=True)
    with run.locked():
        if run.record_path.exists():
            raise RunError(f"{out} holds a run already; choose another --out, or go on with it by --resume")
        yield run


def _next_folder(root: Path, stem: str) -> Path:
    number = 1
    while True:
        try:
            (root / f"{stem}-{number}").mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return root / f"{stem}-{number}"


def readable_runs(root: Path) -> Iterator[tuple[Run, RunRecord]]:
    """The runs directly below `root`, by name; one whose record is damaged is named on stderr and left out."""
    for path in sorted(root.glob("*/run.json")):
        run = Run(path.parent)
        try:
            record = run.read()
        except RunError as error:
            console.say(f"left out: {error}")
        else:
            yield run, record


def find_run(given: Path | None, root: Path = RUNS, status: tuple[Status, ...] = ("finished", "imported")) -> Run:
    """The run at `given` (a path, or a name below `root`), or the latest of `status`; RunError where there is none."""
    if given is not None:
        run = Run(given if given.exists() or not (root / given).exists() else root / given)
        if (found := run.read().status) not in status:
            raise RunError(f"{run.folder} is {_DESCRIBED[found]}; {_NEXT[found]}")
        return run
    dated = [(record.created, run) for run, record in readable_runs(root) if record.status in status]
    if not dated:
        wanted = "unfinished" if status == ("training",) else "finished"
        raise RunError(f"there is no {wanted} run in {root}/; start one with 'lenet-edge train'")
    return max(dated, key=lambda pair: pair[0])[1]


_DESCRIBED = {
    "training": "not finished",
    "finished": "finished already",
    "imported": "made from imported weights",
}
_NEXT = {
    "training": "go on with it by 'lenet-edge train --resume --out FOLDER'",
    "finished": "export it with 'lenet-edge export', or train a new run",
    "imported": "there is no training to go on with",
}
