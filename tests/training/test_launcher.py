"""How torch's threads wait: asleep, unless the user has said otherwise."""

import os

import pytest

from lenet_edge.training.launcher import let_threads_sleep


@pytest.mark.parametrize(("said", "expected"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_sleep_unless_the_user_says_otherwise(
    said: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", said)
    let_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == expected
    assert ("GOMP_SPINCOUNT" in os.environ) == (expected == "PASSIVE")
