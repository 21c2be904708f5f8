"""Control planes that are lost, killed, cut off, held still and restarted."""

from __future__ import annotations

import signal
import time
from functools import partial

from tests.chaos.cluster import ELECTED, Begin, Chaos
from tests.e2e.conftest import eventually
from tests.e2e.test_nodes import CONTROL_PLANES

FROZEN = 25.0
"""Seconds: longer than a lease (15 s)."""


def test_a_control_plane_is_lost(chaos: Chaos, trial: Begin) -> None:
    with trial("a control plane is lost with etcd's leader and all that lead") as fault:
        victim = chaos.gather()
        fault.begin()
        chaos.node("stop", victim)
        fault.writes_go_on()
        fault.until("`kubectl get` answers", lambda: chaos.server_ready("balancer"))
        fault.until("controllers and scheduler act", lambda: chaos.control_plane_works("lost"), 90)
        fault.begin()
        chaos.node("start", victim)
        fault.until("all is whole after it is switched on again", chaos.whole, 90)


def test_api_servers_are_killed_in_turn(chaos: Chaos, trial: Begin) -> None:
    with trial("the three API servers are killed (kill -9), one after another") as fault:
        for name in CONTROL_PLANES:
            fault.begin()
            chaos.kill(name, "kybern", "apiserver")
            fault.writes_go_on()
            fault.until(f"that of {name} is ready again", lambda name=name: chaos.server_ready(name))


def test_a_control_plane_is_held_still(chaos: Chaos, trial: Begin) -> None:
    """Its controllers and scheduler are amid work; they go on when others have led for some time."""
    with trial("a control plane is held still (frozen) with all that lead, and goes on") as fault:
        victim = chaos.gather()
        fault.excused.add(victim)
        kubectl = partial(chaos.kubectl, "-n", fault.namespace)
        kubectl("create", "deployment", "work", "--image=busybox:1.35", "--", "sleep", "1h")
        eventually(lambda: kubectl("get", "pods", "-l", "app=work", "-o", "name"))
        kubectl("scale", "deployment", "work", "--replicas=20")
        fault.begin()
        chaos.node("pause", victim)
        fault.writes_go_on()
        fault.until("controllers and scheduler act elsewhere", lambda: chaos.control_plane_works("held"), 90)
        kubectl("scale", "deployment", "work", "--replicas=25")
        time.sleep(max(0.0, fault.began + FROZEN - time.monotonic()))
        leading = {component: chaos.identity(f"kube-{component}") for component in ELECTED}
        fault.begin()
        chaos.node("start", victim)
        fault.until("all is whole after it goes on", chaos.whole, 90)
        time.sleep(5)
        assert leading == {component: chaos.identity(f"kube-{component}") for component in ELECTED}
    made = {(event.name, event.value) for stretch in fault.recorder.pods for event in stretch.events}
    assert len([name for name, _ in made if name.startswith("work-")]) == 25, "pods were made twice, or not at all"


def test_control_planes_are_restarted_one_by_one(chaos: Chaos, trial: Begin) -> None:
    """As for an upgrade: each is told to end, and started again by the machine's supervisor."""
    with trial("all control planes are restarted one at a time") as fault:
        fault.begin()
        for name in CONTROL_PLANES:
            before = chaos.supervisor(name)
            before.send_signal(signal.SIGTERM)
            eventually(lambda before=before: not before.is_running(), 30)
            eventually(chaos.whole, 90)
        fault.until("all three are", chaos.whole)
        fault.begin()
        fault.until("controllers and scheduler act", lambda: chaos.control_plane_works("restarted"))
    assert fault.fault.pauses[1] < 5, "some client should have been able to write all the time"
