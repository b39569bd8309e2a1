"""What the environment says of this process before torch is imported: how many train together, and how threads wait."""

import os


def processes() -> int:
    """How many processes have been started to train together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "MASTER_ADDR" in os.environ and "RANK" in os.environ else 1


def follows() -> bool:
    """Whether this process was started to follow another one."""
    return processes() > 1 and os.environ["RANK"] != "0"


def let_threads_sleep() -> None:
    """Let torch's threads sleep while they wait for one another, where the user has said nothing else.

    By default they spin. Where another program has one of two cores, that made training 5 to 30 times as slow.
    OpenMP reads the variable when torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
