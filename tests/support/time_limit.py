"""A clock over code that may hang: a call that takes too long raises in the midst of it."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class TookTooLong(BaseException):
    """Not an Exception, so that nothing that is tested swallows it."""


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TookTooLong in the block after so many seconds."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise TookTooLong(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
