"""A study of 12 members on a Dask cluster whose workers, client and scheduler are killed: nothing is lost.

pytest -m slow -s tests/studies/test_cluster_battery.py      # prints the counts
"""

import random
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from command_line import CommandLine
from dask_cluster import DaskCluster, dask_cluster, environment, finished_epochs, wait_for, weights_of

KILLS = {"worker": 20, "client": 3, "scheduler": 2}
MEMBERS, EPOCHS = 12, 24
# Every epoch is a task of its own.
PROGRAM = "from lenet_edge.studies import cluster; cluster.TASK_SECONDS = 0; from lenet_edge.cli import main; main()"
WORDS = (
    "compare", "lenet5", "study-dropout", "lenet5-classic", "--seeds", "4", "--dataset", "digits",
    "--epochs", str(EPOCHS), "--device", "cpu", "--threads", "1",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(find_spec("distributed") is None, reason="distributed (extra `cluster`) is missing")
def test_nothing_is_lost_by_kills(cli: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> None:
    chance = random.Random(0)
    kinds = [kind for kind, number in KILLS.items() for _ in range(number)]
    chance.shuffle(kinds)
    start, done = time.monotonic(), dict.fromkeys(KILLS, 0)
    with dask_cluster(tmp_path_factory.mktemp("dask"), workers=2) as cluster:
        study = _Study(cli.folder, cluster)
        for kind in kinds:
            study.advance(by=chance.randint(2, 8))
            if kind == "worker":
                cluster.kill(chance.choice(cluster.workers))
                cluster.start_worker()
            elif kind == "client":
                study.client.kill()
                study.client.wait()
            else:
                study.lose_scheduler()
            done[kind] += 1
            print(f"{time.monotonic() - start:.0f} s: {kind} killed at {study.epochs} of {MEMBERS * EPOCHS} epochs")  # noqa: T201
        study.finish()
    result = cli(*WORDS, "--out", "here")
    assert result.exit_code == 0, result.output
    there, here = weights_of(cli.folder / "studies" / "digits"), weights_of(cli.folder / "here")
    equal = sum(there[name] == content for name, content in here.items())
    print(f"killed: {done}; commands given: {study.commands}; members finished: {len(there)}; bit-equal: {equal}")  # noqa: T201
    assert done == KILLS
    assert (len(there), len(here), equal) == (MEMBERS, MEMBERS, MEMBERS)


class _Study:
    """The command, given again whenever it has ended."""

    def __init__(self, folder: Path, cluster: DaskCluster) -> None:
        self._folder, self._cluster, self.commands = folder, cluster, 0
        self._give()

    @property
    def epochs(self) -> int:
        """That have come back, of all members."""
        return sum(map(finished_epochs, (self._folder / "studies" / "digits" / "runs").glob("*")))

    def advance(self, by: int) -> None:
        """Wait until so many more epochs have come back."""
        goal = min(self.epochs + by, MEMBERS * EPOCHS)
        wait_for(lambda: self._runs() and self.epochs >= goal, 600)

    def lose_scheduler(self) -> None:
        """Kill it and its workers, which end without it, and start them anew at the same address."""
        assert self._cluster.scheduler is not None
        self._cluster.kill(self._cluster.scheduler)
        for worker in list(self._cluster.workers):
            self._cluster.kill(worker)
        self._cluster.start_scheduler()
        for _ in range(2):
            self._cluster.start_worker()

    def finish(self) -> None:
        """Let it come to its end."""
        while self.client.wait(900):
            self._give()

    def _runs(self) -> bool:
        if self.client.poll() is not None:
            self._give()
        return True

    def _give(self) -> None:
        self.commands += 1
        self.client = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *WORDS, "--scheduler", self._cluster.address],
            cwd=self._folder, env=environment(), stdout=subprocess.DEVNULL,
        )  # fmt: skip
