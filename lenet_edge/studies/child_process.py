"""One training of a study, to its end, in a child process: `python -m lenet_edge.studies.child_process`.

The child gets its job as one JSON argument, writes its progress as one JSON object a line to stdout, and its error as
one line to stderr. It ends when the process that started it is gone.
"""

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from lenet_edge.data.datasets import load_dataset
from lenet_edge.runs.run import Run
from lenet_edge.training.console_watcher import SignalWatcher
from lenet_edge.training.training import complete
from lenet_edge.training.watcher import Progress
from lenet_edge_runtime.errors import LenetEdgeError


class _ChildWatcher(SignalWatcher):
    """Tells the parent by lines on stdout; stops as by SIGTERM when there is no parent any more."""

    def __init__(self, parent: int) -> None:
        super().__init__()
        # On Windows a virtual environment puts a launcher in between, and nothing tells that a parent has ended.
        self._parent = os.getppid() if os.name == "nt" else parent

    def progress(self, now: Progress) -> None:
        try:
            print(json.dumps(asdict(now)), flush=True)  # noqa: T201 - read by the parent
        except BrokenPipeError:
            self._signal = signal.SIGTERM

    def stop_signal(self) -> int | None:
        return signal.SIGTERM if os.getppid() != self._parent else super().stop_signal()


def _run_child(folder: str, parent: int, dataset: str, data_dir: str | None) -> None:
    run = Run(Path(folder))
    with _ChildWatcher(parent) as watcher:
        data = load_dataset(dataset, Path(data_dir) if data_dir else None)
        complete(run, data, watcher, resume=run.checkpoint_path.is_file())


if __name__ == "__main__":
    try:
        _run_child(**json.loads(sys.argv[1]))
    except LenetEdgeError as error:
        print(" ".join(str(error).split()), file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
