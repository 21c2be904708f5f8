"""The process that leads is killed."""

from __future__ import annotations

import pytest

from tests.chaos.cluster import ELECTED, Begin, Chaos


@pytest.mark.parametrize("component", ELECTED)
def test_a_leader_is_killed(chaos: Chaos, trial: Begin, component: str) -> None:
    with trial(f"the {component} that leads is killed (kill -9)") as fault:
        victim, node = chaos.identity(f"kube-{component}"), chaos.holder(component)
        fault.begin()
        chaos.kill(node, "kybern", component)
        fault.until("another leads", lambda: chaos.identity(f"kube-{component}") not in ("", victim))
        fault.until("a new Deployment has its pod", lambda: chaos.control_plane_works(f"after-{component}"))


def test_the_cloud_controller_manager_is_killed(chaos: Chaos, trial: Begin) -> None:
    """It has no other copy to take over: it is started again."""
    with trial("the cloud controller manager is killed (kill -9)") as fault:
        fault.begin()
        chaos.kill_cloud_controller_manager()
        chaos.kubectl("create", "service", "loadbalancer", "outside", "--tcp=80:80")
        fault.until(
            "a new Service has its load balancer",
            lambda: chaos.get("service", "outside")["status"]["loadBalancer"].get("ingress"),
        )
        chaos.kubectl("delete", "service", "outside")
