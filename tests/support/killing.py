"""A command in a child process that is killed at one of its writes, as by SIGKILL: no `finally` runs.

Each child is forked from one process that has imported everything and trained nothing: torch's autograd takes no fork
after it has run.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

KILLED = 9


class Nursery:
    """The process that the children are forked from."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def killed_at(self, number: int, *words: object, before: bool = False) -> bool:
        """Run `lenet-edge` in the current folder; end it after (or before) its `number`-th rename or removal, from 1.

        Whether it was killed; False where it came to its end with fewer.
        """
        request = {
            "words": [str(word) for word in words],
            "number": number,
            "before": before,
            "folder": str(Path.cwd()),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request | {"environment": dict(os.environ)}), file=self._process.stdin, flush=True)
        status = int(self._process.stdout.readline())
        assert status in (0, KILLED), status
        return status == KILLED


@contextmanager
def nursery() -> Iterator[Nursery]:
    """Start it, and end it with the block."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Nursery(process)
        finally:
            process.kill()


def killed_at(number: int, command: Callable[[], object], *, before: bool = False) -> int:
    """Fork, run `command`, and end the child at its `number`-th rename or removal; return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    count = 0

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal count
            if not os.path.lexists(arguments[0]):  # type: ignore[arg-type]  # nothing to remove: no boundary
                return function(*arguments, **options)
            count += 1
            if before and count == number:
                os._exit(KILLED)
            result = function(*arguments, **options)
            if count == number:
                os._exit(KILLED)
            return result

        return call

    for name in ("replace", "rename", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    try:
        command()
    except BaseException:
        os._exit(1)
    os._exit(0)


def _main() -> None:
    import tempfile

    import torch  # noqa: F401
    from typer.testing import CliRunner

    import lenet_edge.artefacts.exporting
    import lenet_edge.training.training  # noqa: F401
    from lenet_edge.cli import app

    def command(words: list[str]) -> None:
        result = CliRunner().invoke(app, words)
        if result.exit_code:
            print(result.output, file=sys.stderr)  # noqa: T201
            raise SystemExit(1)

    for line in sys.stdin:
        request = json.loads(line)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        tempfile.tempdir = None
        tempfile.gettempdir()  # writes and removes a file of Python's own, to see where it can
        status = killed_at(request["number"], lambda words=request["words"]: command(words), before=request["before"])
        print(status, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent.resolve()]
    _main()
