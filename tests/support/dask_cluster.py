"""A real Dask cluster on this machine: a scheduler and workers in processes of their own, on free ports of loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
STOREYS = [ROOT, ROOT / "exporters", ROOT / "runtime"]


class DaskCluster:
    """Processes that can be killed one by one; the scheduler comes back at the same address."""

    def __init__(self, folder: Path, scheme: str = "tcp", settings: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self.environment = {**environment(), "OMP_NUM_THREADS": "1", **(settings or {})}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"{scheme}://127.0.0.1:{self.port}"
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []

    def start_scheduler(self) -> None:
        words = ["scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--no-jupyter"]
        self.scheduler = self._start("scheduler", *words)
        wait_for(lambda: _answers(self.port))

    def start_worker(self) -> None:
        """One process of one thread, and no nanny that would start it again."""
        words = ["worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
        self.workers.append(self._start("worker", *words, "--local-directory", str(self._folder)))

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        """At once: no farewell to the others."""
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process in self.workers:
            self.workers.remove(process)

    def end(self) -> None:
        for process in [*self.workers, self.scheduler]:
            if process is not None:
                self.kill(process)

    def _start(self, name: str, *words: str) -> "subprocess.Popen[bytes]":
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *words],
                cwd=self._folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


@contextmanager
def dask_cluster(
    folder: Path, workers: int, scheme: str = "tcp", settings: Mapping[str, str] | None = None
) -> Iterator[DaskCluster]:
    """Started, with its workers on their way, and more in their environment; ended with the block."""
    cluster = DaskCluster(folder, scheme, settings)
    try:
        cluster.start_scheduler()
        for _ in range(workers):
            cluster.start_worker()
        yield cluster
    finally:
        cluster.end()


def environment() -> dict[str, str]:
    """For child processes that import this checkout."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, STOREYS))}


def wait_for(condition: Callable[[], object], seconds: float = 180) -> None:
    """Until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def finished_epochs(run: Path) -> int:
    """Those in a run's history."""
    history = run / "history.csv"
    return len(history.read_text().splitlines()) - 1 if history.is_file() else 0


def weights_of(study: Path) -> dict[str, bytes]:
    """The final weights of a study's runs, by the folder's name."""
    return {path.parent.name: path.read_bytes() for path in sorted(study.glob("runs/*/weights.safetensors"))}


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
