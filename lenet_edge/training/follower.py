"""What the processes of a team do that do not lead: train along, and write and print nothing of their own."""

from pathlib import Path

from lenet_edge.data.datasets import load_dataset
from lenet_edge.training.console_watcher import SignalWatcher
from lenet_edge.training.distributed import PeerGoneError, ProcessTeam, assembled
from lenet_edge.training.trainer import Assignment, Trainer
from lenet_edge.training.watcher import TrainingStopped
from lenet_edge_runtime.errors import DataError, TrainingError


def follow(data_dir: Path | None) -> None:
    """Join the team and do what the leading process says, until it says no more or is gone.

    Raises DataError where this machine's images are not those of the leading process, and ends without a word where
    that one has said already what went wrong.
    """
    try:
        with SignalWatcher(patient=True) as watcher, assembled() as team:
            assert isinstance(team, ProcessTeam)
            _serve(team, watcher, data_dir)
    except PeerGoneError:
        raise SystemExit(1) from None


def _serve(team: ProcessTeam, watcher: SignalWatcher, data_dir: Path | None) -> None:
    trainer: Trainer | None = None
    while (message := team.receive()) is not None:
        if isinstance(message, Assignment):
            trainer = prepared(message, team, data_dir)
            continue
        assert trainer is not None
        try:
            trainer.train_epoch(watcher)
        except PeerGoneError:
            raise
        except (TrainingStopped, TrainingError):
            trainer = None  # all processes have come to the same end, and the leading one tells of it


def prepared(assignment: Assignment, team: ProcessTeam, data_dir: Path | None) -> Trainer:
    """A trainer for what was assigned, on this machine's images; raises DataError where those are others."""
    data = load_dataset(assignment.dataset, data_dir, assignment.form)
    if dict(data.md5s) != assignment.record.data_md5s:
        raise DataError(f"the images of {assignment.dataset} on this machine are not those of the leading process")
    trainer = Trainer(assignment.record, data, team)
    trainer.restore(assignment.state)
    return trainer
