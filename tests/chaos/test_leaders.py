"""The process that leads is killed. The cloud controller manager runs once, so there is none to take over from it."""

from __future__ import annotations

import pytest

from tests.chaos.cluster import ELECTED, Begin, Chaos


@pytest.mark.parametrize("component", ELECTED)
def test_a_leader_is_killed(chaos: Chaos, trial: Begin, component: str) -> None:
    with trial(f"the {component} that leads is killed (kill -9)") as fault:
        victim, node = chaos.identity(component), chaos.holder(component)
        fault.begin()
        chaos.kill(node, "kybern", component)
        fault.until("another leads", lambda: chaos.identity(component) not in ("", victim))
        fault.until("a new Deployment has its pod", lambda: chaos.control_plane_works(f"after-{component}"))
