"""A running Dask cluster: its scheduler answers, a worker is there, and the versions that matter agree."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lenet_edge import console
from lenet_edge_runtime.errors import ClusterError
from lenet_edge_runtime.host import installed_versions

if TYPE_CHECKING:
    from distributed import Client


@contextmanager
def connected(address: str, packages: tuple[str, ...]) -> Iterator["Client"]:
    """A client of the scheduler that has this address, with a worker at least. TLS is as Dask's own configuration says.

    Needs the extra `cluster`. Raises ClusterError where nothing answers, or where a worker's versions of `packages` are
    not those of this machine.
    """
    import dask
    from distributed import Client

    # What is sent is meant to be: no warning of a large graph.
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "16 GiB"}):
        try:
            client = Client(address)
        except (OSError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ClusterError(
                f"no Dask scheduler answers at {address} ({reason}); start one with 'dask scheduler'"
            ) from None
        with client:
            _check(client, address, packages)
            yield client


def mismatch(address: str, found: dict[str, str], wanted: dict[str, str]) -> str | None:
    """Why a worker of these versions must not work for a client of those; None where they agree."""
    different = [package for package in wanted if found.get(package) != wanted[package]]
    if not different:
        return None
    theirs, ours = (
        " and ".join(f"{package} {versions.get(package) or '(not installed)'}" for package in different)
        for versions in (found, wanted)
    )
    return f"{address} has {theirs}, this machine has {ours}; install the same versions on both"


def _check(client: "Client", address: str, packages: tuple[str, ...]) -> None:
    """Wait for a worker; raise ClusterError where one has other versions."""
    if not client.scheduler_info()["workers"]:
        console.say(f"no worker is at {address} yet; waiting (start one: dask worker {address})")
        client.wait_for_workers(1)
    for worker, found in client.get_versions(packages=list(packages))["workers"].items():
        if (refusal := mismatch(f"worker {worker}", found["packages"], installed_versions(packages))) is not None:
            raise ClusterError(refusal)
