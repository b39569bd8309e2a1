"""What the environment says of this process before torch is imported: how many train together, and how threads wait."""

import os

SPINS = "5000"  # of 0, 5,000 and 50,000 the one that is fast on idle cores and costs busy ones little


def processes() -> int:
    """How many processes have been started to train together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "MASTER_ADDR" in os.environ and "RANK" in os.environ else 1


def follows() -> bool:
    """Whether this process was started to follow another one."""
    return processes() > 1 and os.environ["RANK"] != "0"


def let_threads_sleep() -> None:
    """Let torch's threads sleep while they wait for one another, where the user has said nothing else.

    By default they spin. Where another program has one of two cores, that made training 5 to 30 times as slow. A
    short spin first costs little there, and spares most waits the sleep: docs/training.md has figures.
    OpenMP (GNU's, of which the second variable is) reads them when torch is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
