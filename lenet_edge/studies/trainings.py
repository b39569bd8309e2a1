"""The trainings of a study that are still to do: one after another in this process, side by side, or on a cluster."""

from collections.abc import Callable, Sequence

from lenet_edge.studies.member_training import Source, train_member
from lenet_edge.studies.progress import StudyProgress
from lenet_edge.studies.studies import Member, Study
from lenet_edge.training.console_watcher import SignalWatcher
from lenet_edge.training.distributed import assembled
from lenet_edge.training.watcher import Progress, TrainingStopped
from lenet_edge_runtime.errors import TrainingError

Way = Callable[[Sequence[Member], Source, StudyProgress], None]  # raises TrainingStopped on a signal


def train_all(study: Study, members: Sequence[Member], source: Source, way: Way) -> None:
    """Train the members that are not finished in this way, those of the first seeds first.

    Raises TrainingStopped on a signal, and TrainingError where some fail, after the others have been trained.
    """
    todo = sorted((member for member in members if not member.finished), key=lambda member: member.seed)
    with StudyProgress(len(todo), len(members)) as display:
        try:
            way(todo, source, display)
        except TrainingStopped as stopped:
            done = sum(member.run.read().status == "finished" for member in members)
            raise TrainingStopped(
                f"stopped; {done} of {len(members)} runs in {study.folder} are finished; the same command goes on",
                stopped.exit_code - 128,
            ) from None
    if display.errors:
        member, reason = next(iter(display.errors.items()))
        raise TrainingError(
            f"{len(display.errors)} of {len(members)} runs in {study.folder} failed, {member.name} because: {reason}; "
            f"the others are kept; the same command tries again"
        )


def one_after_another(members: Sequence[Member], source: Source, display: StudyProgress) -> None:
    """Train the members in this process, with its team under torchrun. Raises TrainingStopped."""
    with assembled() as team, _MemberWatcher(display, patient=team.size > 1) as watcher:
        for member in members:
            watcher.member = member
            display.ended(member, train_member(member.run, lambda: source.data, watcher, team))


class _MemberWatcher(SignalWatcher):
    """Tells a display about the member that trains at the moment."""

    def __init__(self, display: StudyProgress, patient: bool) -> None:
        super().__init__(patient)
        self.display = display
        self.member: Member | None = None

    def progress(self, now: Progress) -> None:
        if self.member is not None:
            self.display.running(self.member, now)
