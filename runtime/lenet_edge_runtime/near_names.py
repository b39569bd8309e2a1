"""A name that is nearly right: the one that was meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Give "did you mean 'mnist'? " for "mnsit", to stand in a message before the list; "" where no name is near."""
    near = get_close_matches(name.lower().replace("_", "-"), list(known), 1, 0.6)
    return f"did you mean {near[0]!r}? " if near else ""
