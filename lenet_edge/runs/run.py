"""A run is a folder: weights, a record of how they came about, the history, the curves, and the exported files.

runs/lenet5-mnist-1/
    run.json               recipe, data md5s, versions, seed, threads, device, metrics
    weights.safetensors    the final weights
    history.csv            one row an epoch
    curves.png             the same, to look at
    checkpoint.safetensors the state at the last epoch boundary, while training is not finished
    source.safetensors     of a run by `train --qat`: the float32 weights before it, which its files are gated against
    lenet-edge-manifest.json  size and SHA-256 of the files above and of the exported ones, once training is finished
    local.json             where the user's own images lie; true on this machine only, not to be passed on
    export/                the exported files
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from lenet_edge.data.image_data import ImageData, ImageForm
from lenet_edge.runs.record import RunRecord
from lenet_edge_exporters import atomic, manifest
from lenet_edge_runtime import records
from lenet_edge_runtime.errors import RunError
from lenet_edge_runtime.reading import read_text, real_path
from lenet_edge_runtime.records import Sized
from lenet_edge_runtime.spec import ModelSpec

RUNS = Path("runs")


@dataclass(frozen=True)
class Local:
    """What local.json holds."""

    dataset: Annotated[str, Sized(1, 4096)]  # the folder's path
    val: Annotated[str, Sized(1, 4096)] | None = None  # of the validation images
    skip_unreadable: bool = False


@dataclass(frozen=True)
class Run:
    """A run folder and the places in it."""

    folder: Path

    @property
    def name(self) -> str:
        return real_path(self.folder).name

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
            return RunRecord.from_json(read_text(self.record_path))
        except FileNotFoundError:
            raise RunError(f"{self.folder} is not a run folder: it has no run.json; see 'lenet-edge train'") from None
        except NotADirectoryError:
            raise RunError(
                f"{self.folder} is a file, not a run: give the folder that 'lenet-edge train' wrote "
                f"(weights from elsewhere become a run by 'lenet-edge export FILE --dataset ...')"
            ) from None
        except OSError as error:
            raise RunError(f"{self.record_path} cannot be read ({error.strerror}); name a run that can") from None
        except ValueError as error:  # a RecordError, or bytes that are no text
            raise RunError(f"{self.record_path} is damaged ({error}); remove that folder, or train again") from None

    def write(self, record: RunRecord) -> None:
        """Write the record, whole or not at all; where a manifest lists it, that first."""
        text = record.to_json() + "\n"
        if manifest.read(self.folder):
            manifest.update(self.folder, {self.record_path: text.encode()})
        atomic.write_text(self.record_path, text)

    def write_listed(self, record: RunRecord) -> None:
        """Write the record of a run whose files are as they will stay, and the manifest of them all."""
        kept = (self.weights_path, self.source_path, self.history_path, self.curves_path)
        manifest.add(self.folder, kept)
        self.write(record)

    def finish(
        self, metrics: dict[str, Any], activation_ranges: tuple[tuple[float, float], ...], spec: ModelSpec
    ) -> RunRecord:
        """Mark the run as finished with these metrics, ranges of fake quantization and spec; drop its checkpoint."""
        record = replace(self.read(), status="finished", metrics=metrics, spec=spec)
        if record.quantization is not None:
            quantization = replace(record.quantization, activation_ranges=activation_ranges)
            record = replace(record, quantization=quantization)
        self.write_listed(record)
        self.checkpoint_path.unlink(missing_ok=True)
        return record

    def remember_data(self, data: ImageData) -> None:
        """Keep where a user's own images lie, outside of the record."""
        if data.folder is not None:
            form = data.form or ImageForm()
            read_as = {"val": str(form.val.resolve()) if form.val else None, "skip_unreadable": form.skip_unreadable}
            content = json.dumps({"dataset": str(data.folder.resolve()), **read_as})
            atomic.write_text(self._local_path, content + "\n")

    def dataset_argument(self, record: RunRecord) -> str:
        """What `load_dataset` takes to load this run's data: a name, or the path of the user's own folder."""
        local = self._local()
        return local.dataset if local else record.dataset

    def image_form(self, record: RunRecord) -> ImageForm | None:
        """How the user's own images are read for this run; None for a data set of the table."""
        if (local := self._local()) is None:
            return None
        spec, val = record.spec, Path(local.val) if local.val else None
        return ImageForm(spec.height, spec.channels, val, local.skip_unreadable)

    def _local(self) -> Local | None:
        """What local.json holds; None where there is none."""
        if not self._local_path.is_file():
            return None
        try:
            return records.from_fields(Local, records.parse(read_text(self._local_path)))
        except (OSError, ValueError) as error:
            raise RunError(
                f"{self._local_path}, which says where the run's images lie, is damaged ({error}); "
                f'write {{"dataset": "FOLDER"}} into it'
            ) from None

    def _sweep(self) -> None:
        """Remove what a process that was killed left here, under the lock."""
        atomic.sweep(self.folder)
        if self.checkpoint_path.exists() and self.record_path.exists() and self.read().status == "finished":
            self.checkpoint_path.unlink()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the folder; raise RunError where one is in it."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.folder / ".lock", timeout=0):
                self._sweep()
                yield
        except Timeout:
            raise RunError(
                f"{self.folder} is in use by another lenet-edge process; wait for it, or choose another --out"
            ) from None

    def locked_for(self, out: Path | None) -> contextlib.AbstractContextManager[None]:
        """The lock where files are written into the folder (None, or a folder in it); elsewhere the run is only read.

        A run that is only read may lie where nothing can be written.
        """
        inside = out is None or real_path(out).is_relative_to(real_path(self.folder))
        return self.locked() if inside else contextlib.nullcontext()


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
