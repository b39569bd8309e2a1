"""One training of a study, wherever it runs: to its end, or to why it failed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.run import Run
from lenet_edge.training.distributed import ALONE, PeerGoneError, Team
from lenet_edge.training.training import complete
from lenet_edge.training.watcher import TrainingStopped, Watcher
from lenet_edge_runtime.errors import LenetEdgeError


@dataclass(frozen=True)
class Source:
    """A study's images, and what `load_dataset` takes to have them elsewhere."""

    data: ImageData
    dataset: str
    data_dir: Path | None


def train_member(run: Run, load: Callable[[], ImageData], watcher: Watcher, team: Team = ALONE) -> str | None:
    """Train the run from where it stands; None, or why that failed. Raises TrainingStopped and PeerGoneError alone.

    Its first failure must not stop the other members, so that those of the file system are told, too.
    """
    try:
        complete(run, load(), watcher, resume=run.checkpoint_path.is_file(), team=team)
    except (TrainingStopped, PeerGoneError):
        raise
    except LenetEdgeError as error:
        return str(error)
    except OSError as error:
        return repr(error) if error.strerror is None else str(error)
    return None
