"""What is to be done about a pod."""

from __future__ import annotations

import dataclasses

import pytest

from kybern.api.types import Object
from kybern.kubelet.backoff import Backoff
from kybern.kubelet.runtime.state import PodState
from kybern.kubelet.sync import Plan, ProbeView, backoff_key, decide
from kybern.testing.builders import container
from tests.unit.kubelet.making import NOW, READY, exited, made, running, sidecar, state

APP, LOG, INIT = container("app"), container("log"), container("init")
GONE = dataclasses.replace(READY, ready=False, attempt=3)


def plan(pod: Object, seen: PodState, backoff: Backoff | None = None, **probes: ProbeView) -> Plan:
    by_id = {f"{name}-0": view for name, view in probes.items()}
    return decide(pod, seen, by_id, backoff or Backoff(), NOW)


def started(found: Plan) -> list[tuple[str, int]]:
    return [(start.name, start.restart_count) for start in found.start]


def test_a_new_pod_gets_a_sandbox_and_all_its_containers() -> None:
    found = plan(made(APP, LOG), state(sandbox=None))
    assert found.create_sandbox and not found.kill_pod
    assert found.sandbox_attempt == 0
    assert started(found) == [("app", 0), ("log", 0)]


def test_a_running_pod_is_left_alone() -> None:
    assert plan(made(), state(running(APP))).idle


def test_a_dead_sandbox_is_replaced_and_its_containers_start_anew() -> None:
    found = plan(made(), state(exited(APP, 1), sandbox=GONE))
    assert found.kill_pod and found.create_sandbox
    assert found.sandbox_attempt == 4
    assert started(found) == [("app", 1)]


def test_a_pod_that_is_never_restarted_loses_its_dead_sandbox_for_good() -> None:
    found = plan(made(policy="Never"), state(exited(APP, 1), sandbox=GONE))
    assert found.kill_pod and not found.create_sandbox


def test_what_succeeded_is_not_repeated_in_a_new_sandbox() -> None:
    done = plan(made(policy="OnFailure"), state(exited(APP, 0), sandbox=GONE))
    assert not done.create_sandbox
    half = plan(made(APP, LOG, policy="OnFailure"), state(exited(APP, 0), running(LOG), sandbox=GONE))
    assert started(half) == [("log", 1)]


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [("Always", 0, True), ("Always", 1, True), ("OnFailure", 0, False), ("OnFailure", 1, True), ("Never", 1, False)],
)
def test_an_ended_container_is_restarted_as_the_policy_says(policy: str, code: int, again: bool) -> None:
    found = plan(made(APP, LOG, policy=policy), state(exited(APP, code), running(LOG)))
    assert started(found) == ([("app", 1)] if again else [])
    assert not found.kill_pod


def test_a_containers_own_policy_and_rules_go_before_the_pods() -> None:
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    ruled = container("app", restartPolicy="Never", restartPolicyRules=[rule])
    assert started(plan(made(ruled, LOG), state(exited(ruled, 42), running(LOG)))) == [("app", 1)]
    assert started(plan(made(ruled, LOG), state(exited(ruled, 41), running(LOG)))) == []


def test_when_all_have_ended_for_good_the_sandbox_is_stopped() -> None:
    found = plan(made(policy="OnFailure"), state(exited(APP, 0)))
    assert found.kill_pod and not found.create_sandbox and not found.start


def test_a_crashing_container_waits_for_its_backoff() -> None:
    backoff, pod = Backoff(), made()
    key = backoff_key(APP)
    backoff.advance(key, NOW - 4, NOW - 4)
    found = plan(pod, state(exited(APP, 1, count=1, ago=4)), backoff)
    assert found.backing_off == {"app": 6.0}
    assert found.idle
    assert started(plan(pod, state(exited(APP, 1, count=1, ago=10)), backoff)) == [("app", 2)]


def test_backoff_doubles_up_to_five_minutes_and_is_forgotten_after_ten() -> None:
    backoff = Backoff()
    delays = []
    for _ in range(7):
        backoff.advance("key", NOW, NOW)
        delays.append(backoff.delay("key"))
    assert delays == [10, 20, 40, 80, 160, 300, 300]
    assert backoff.remaining("key", NOW + 601, NOW + 601) == 0
    assert backoff.remaining("key", NOW + 599, NOW + 599) == 300


def test_init_containers_run_one_after_the_other_before_the_rest() -> None:
    second = container("second")
    pod = made(APP, inits=[INIT, second])
    assert started(plan(pod, state(sandbox=None))) == [("init", 0)]
    assert plan(pod, state(running(INIT))).idle
    assert started(plan(pod, state(exited(INIT)))) == [("second", 0)]
    assert started(plan(pod, state(exited(INIT), exited(second)))) == [("app", 0)]


def test_a_failed_init_container_is_tried_again_or_ends_the_pod() -> None:
    failed = state(exited(INIT, 1))
    assert started(plan(made(APP, inits=[INIT]), failed)) == [("init", 1)]
    never = plan(made(APP, inits=[INIT], policy="Never"), failed)
    assert never.kill_pod and not never.start


def test_init_containers_are_not_repeated_once_the_others_ran() -> None:
    pod = made(APP, inits=[INIT])
    assert plan(pod, state(running(APP))).idle, "the runtime may have forgotten the init container"


def test_a_sidecar_counts_as_done_when_it_has_started() -> None:
    side = sidecar()
    pod = made(APP, inits=[side, INIT])
    assert started(plan(pod, state(sandbox=None))) == [("side", 0)]
    assert plan(pod, state(running(side)), side=ProbeView(started=False)).idle
    assert started(plan(pod, state(running(side)))) == [("init", 0)]


def test_a_sidecar_that_ended_is_restarted_beside_the_running_rest() -> None:
    side = sidecar()
    found = plan(made(APP, inits=[side], policy="Never"), state(exited(side, 0), running(APP)))
    assert started(found) == [("side", 1)]


@pytest.mark.parametrize("probe", ["liveness", "startup"])
def test_a_failed_probe_kills_the_container(probe: str) -> None:
    found = plan(made(), state(running(APP)), app=ProbeView(kill_reason=probe))
    assert [(kill.container.name, kill.reason) for kill in found.kill] == [("app", probe)]
    assert found.kill[0].message == f"Container app failed {probe} probe, will be restarted"
    never = plan(made(policy="Never"), state(running(APP)), app=ProbeView(kill_reason=probe))
    assert never.kill[0].message == f"Container app failed {probe} probe"


def test_a_changed_image_replaces_the_container() -> None:
    found = plan(made(container("app", "registry.example/app:2")), state(running(APP)))
    assert [kill.reason for kill in found.kill] == ["spec"]
    assert found.kill[0].message == "Container app definition changed, will be restarted"


def test_a_container_in_an_unknown_state_is_killed_first() -> None:
    lost = dataclasses.replace(running(APP), phase="unknown")
    assert [kill.reason for kill in plan(made(), state(lost)).kill] == ["unknown"]


def test_an_ephemeral_container_is_started_once_whatever_the_others_do() -> None:
    debug = {**container("debug"), "targetContainerName": "app"}
    pod = made(APP, inits=[INIT], ephemeralContainers=[debug])
    beside_init = plan(pod, state(exited(INIT, 1))).start
    assert [(start.name, start.kind, start.target) for start in beside_init] == [
        ("debug", "ephemeral", ""),
        ("init", "init", ""),
    ]
    (start,) = plan(pod, state(running(APP))).start
    assert (start.name, start.target) == ("debug", "app-0")
    assert plan(pod, state(running(APP), exited(debug, 1))).idle
    assert started(plan(pod, state(sandbox=None))) == [("init", 0)]
