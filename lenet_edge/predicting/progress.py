"""How many images are answered so far, on stderr where that is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Tick = Callable[[int, int], None]  # images so far, and how many of them could not be read


@contextmanager
def counted(shown: bool) -> Iterator[Tick]:
    """What is called for every batch; it does nothing where nothing is to be shown."""
    if not (shown and sys.stderr.isatty()):
        yield lambda _images, _failed: None
        return
    from rich import progress
    from rich.console import Console

    columns = (progress.SpinnerColumn(), progress.TextColumn("{task.description}"), progress.TimeElapsedColumn())
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")

        def tick(images: int, failed: int) -> None:
            bar.update(task, description=f"{images:,} images, {failed:,} of them unreadable")

        yield tick
