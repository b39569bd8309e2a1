"""A name that is nearly right: the one that was meant."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

LOOKED_AT = 1000  # files of a folder


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Give "did you mean 'mnist'? " for "mnsit", to stand in a message before the list; "" where no name is near."""
    plain = {_plain(item): item for item in known}
    near = get_close_matches(_plain(name), list(plain), 1, 0.6)
    return f"did you mean {plain[near[0]]!r}? " if near else ""


def near_path(path: Path) -> str:
    """The same for a path that is not there: what lies in its folder under a near name, as it would be typed."""
    try:
        beside = [item.name for item in islice(path.parent.iterdir(), LOOKED_AT) if not item.name.startswith(".")]
    except OSError:
        return ""
    near = get_close_matches(path.name, beside, 1, 0.75)
    return f"did you mean {str(path.parent / near[0])!r}? " if near else ""


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
