"""Workers that are lost and come back."""

from __future__ import annotations

import json

import pytest

from tests.chaos.cluster import Begin, Chaos
from tests.e2e.conftest import pod


@pytest.mark.parametrize(
    ("worker", "other", "fail", "mend", "what"),
    [
        ("node-5", "node-4", "stop", "start", "switched off"),
        ("node-4", "node-5", "partition", "heal", "cut off from the network"),
    ],
)
def test_a_worker_is_lost(chaos: Chaos, trial: Begin, worker: str, other: str, fail: str, mend: str, what: str) -> None:
    """Its pods move to the other worker. When it is back, it takes pods again."""
    moving, back = f"moves-{fail}", f"back-{fail}"
    with trial(f"a worker is {what}") as fault:
        chaos.spread(moving, 4, {worker, other})
        fault.begin()
        chaos.node(fail, worker)
        fault.until("it is not Ready", lambda: chaos.ready()[worker] != "True", 90)
        fault.until("its pods run elsewhere", lambda: chaos.places(moving) == [other] * 4)
        fault.begin()
        chaos.node(mend, worker)
        fault.until("it is Ready again", lambda: chaos.ready()[worker] == "True")
        body = json.dumps(pod(back, ["sleep", "3600"], nodeName=worker))
        chaos.kubectl("create", "-f", "-", stdin=body)
        fault.until("a new pod runs on it", lambda: chaos.places(back) == [worker])
        chaos.kubectl("delete", "deployment,service", moving)
